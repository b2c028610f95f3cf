//! Configurations, read as YAML.

use serde::de::DeserializeOwned;

use crate::model::{Reason, Refusal};

/// Reads a configuration. What is wrong is one line; the lines that show where are folded underneath.
pub(crate) fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Refusal> {
    serde_yaml::from_str(text).map_err(|error| {
        let message = error.to_string();
        let (wrong, place) = message.split_once('\n').unwrap_or((&message, ""));
        Refusal::new(Reason::Malformed, format!("{what}: {wrong}")).detail(place)
    })
}
