//! The `prometheus` source: instant queries over HTTP, their time pinned.

use std::{fs, path::Path, time::Duration};

use ureq::{
    Agent,
    http::Uri,
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::{
    gate::{Answer, Question, Value, answers},
    model::{Reason, Refusal},
};

use super::{PrometheusConfig, TIMEOUT};

/// The largest answer that is read.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// The largest certificate or token file that is read.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// A Prometheus server.
#[derive(Debug)]
pub(super) struct Prometheus {
    config: PrometheusConfig,
    agent: Agent,
    timeout: Duration,
}

impl Prometheus {
    /// Makes a client; asks nothing yet. A token is never sent where anybody on the way could read it.
    pub(super) fn open(config: PrometheusConfig) -> Result<Self, Refusal> {
        let wrong = |why: String| Refusal::new(Reason::Malformed, format!("metrics: prometheus: {why}"));
        let https = config.url.starts_with("https://");
        if !https && !config.url.starts_with("http://") {
            return Err(wrong(format!("`{}` is no http or https address", config.url)));
        }
        if !https && config.ca_file.is_some() {
            return Err(wrong("`ca-file` is for https addresses".to_owned()));
        }
        if !https && config.token_file.is_some() && !is_loopback(&config.url) {
            return Err(wrong("a token goes to https addresses only, so that nobody on the way reads it".to_owned()));
        }
        let roots = match &config.ca_file {
            Some(path) => certificates(path).map_err(|why| wrong(format!("{}: {why}", path.display())))?,
            None => RootCerts::WebPki,
        };
        let timeout = Duration::from_secs(config.timeout.unwrap_or(TIMEOUT).as_secs().max(1));
        let agent = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A redirect would take the token somewhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("git-two-key")
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build()
            .new_agent();
        Ok(Self { config, agent, timeout })
    }

    /// Asks.
    pub(super) fn ask(&self, question: &Question) -> Answer {
        match self.body(question) {
            Ok(body) => Answer { value: answers::prometheus(question, &body), raw: Some(body) },
            Err(why) => Answer::of(Value::Failed(format!("{}: {why}", self.config.url))),
        }
    }

    fn body(&self, question: &Question) -> Result<String, String> {
        let url = format!("{}/api/v1/query", self.config.url.trim_end_matches('/'));
        let mut request = self.agent.post(&url);
        if let Some(path) = &self.config.token_file {
            let token = read(path).map_err(|why| format!("the token file {}: {why}", path.display()))?;
            request = request.header("Authorization", &format!("Bearer {}", token.trim()));
        }
        let time = format!("{:.3}", answers::seconds(question.at));
        let timeout = format!("{}s", self.timeout.as_secs());
        let form = [("query", question.query.as_str()), ("time", &time), ("timeout", &timeout)];
        let mut response = request.send_form(form).map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_string();
        let body = body.map_err(|error| error.to_string())?;
        // What is wrong with a query is said in the usual form, with another status.
        if status.is_success() || body.starts_with("{\"status\":\"error\"") {
            Ok(body)
        } else {
            Err(format!("HTTP status {status}"))
        }
    }
}

fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host);
    host.is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost"))
}

/// The certificates in a file that vouch for others.
pub(crate) fn certificates(path: &Path) -> Result<RootCerts, String> {
    let text = read(path)?;
    let mut certificates = Vec::new();
    for item in parse_pem(text.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() { Err("it has no certificate in PEM".to_owned()) } else { Ok(certificates.into()) }
}

fn read(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    if text.len() <= MAX_FILE_BYTES { Ok(text) } else { Err(format!("it has more than {MAX_FILE_BYTES} bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str, more: &str) -> Result<Prometheus, Refusal> {
        Prometheus::open(serde_yaml::from_str(&format!("url: {url}\n{more}")).unwrap())
    }

    #[test]
    fn a_token_is_sent_only_where_nobody_on_the_way_reads_it() {
        for url in
            ["https://prometheus.example", "http://127.0.0.1:9090", "http://localhost/prefix", "http://[::1]:9090"]
        {
            assert!(open(url, "token-file: t").is_ok(), "{url}");
        }
        for url in ["http://prometheus.example:9090", "http://127.0.0.1.example", "http://127.0.0.1:9090@example"] {
            assert_eq!(open(url, "token-file: t").unwrap_err().reason, Reason::Malformed, "{url}");
            assert!(open(url, "").is_ok(), "{url}");
        }
    }

    #[test]
    fn addresses_and_certificates_must_be_some() {
        for (url, more) in [
            ("prometheus.example", ""),
            ("file:///etc/passwd", ""),
            ("http://x", "ca-file: /nowhere"),
            ("https://x", "ca-file: /nowhere"),
            ("https://x", "ca-file: /dev/null"),
        ] {
            assert_eq!(open(url, more).unwrap_err().reason, Reason::Malformed, "{url} {more}");
        }
    }
}
