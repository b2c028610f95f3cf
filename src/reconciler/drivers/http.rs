//! HTTP requests, each on a new connection: a kept one could lead to what is no longer there.

use std::{path::Path, time::Duration};

use ureq::tls::{RootCerts, TlsConfig};

use crate::sources::certificates;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MAX_BYTES: u64 = 64 * 1024;

/// A good answer.
#[derive(Debug)]
pub(in crate::reconciler) struct HttpAnswer {
    headers: ureq::http::HeaderMap,
    /// The body, as text.
    pub(in crate::reconciler) body: String,
}

impl HttpAnswer {
    /// A header's value, if it is text.
    pub(in crate::reconciler) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Asks. Everything but a good answer of some size is an error, in words. `vouchers` is a file of certificates that vouch for an
/// https address; by default those do that are well known.
pub(in crate::reconciler) fn get(url: &str, vouchers: Option<&Path>) -> Result<HttpAnswer, String> {
    let roots = match vouchers {
        Some(path) => certificates(path).map_err(|why| format!("{}: {why}", path.display()))?,
        None => RootCerts::WebPki,
    };
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .max_redirects(0)
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    let agent: ureq::Agent = config.build().into();
    let asked = agent.get(url).header("Connection", "close").call();
    let mut response = asked.map_err(|error| format!("{url}: {error}"))?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("{url}: it answers {status}"));
    }
    let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_string();
    let body = body.map_err(|error| format!("{url}: {error}"))?;
    Ok(HttpAnswer { headers: response.headers().clone(), body })
}
