//! Rendered file that nginx includes: the split, and what it is for. Pure.

use serde::{Deserialize, Serialize};

use super::NginxDriverConfig;
use crate::{
    model::{LeaseId, TargetId},
    reconciler::drivers::roles::Pool,
};

/// What the file says, and what nginx itself tells who asks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NginxState {
    /// The form.
    pub(super) version: u32,
    /// The target that it is for.
    pub(super) target: TargetId,
    /// The candidate's weight in basis points.
    pub(super) weight_bp: u32,
    /// The lease that it was set for.
    pub(super) lease: Option<LeaseId>,
    /// The transition that asked for it.
    pub(super) step: Option<u32>,
    /// Which upstream the candidate is.
    pub(super) candidate: Pool,
}

impl NginxState {
    /// Reads it, as nginx tells it or as the file has it.
    pub(super) fn parse(json: &str, target: &TargetId) -> Result<Self, String> {
        let state: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if state.version != 1 || state.weight_bp > 10_000 {
            return Err("its version is not 1, or its weight is over 10000".to_owned());
        }
        if state.target == *target { Ok(state) } else { Err(format!("it is target {}'s", state.target)) }
    }
}

/// The variable that holds the upstream's name: `$two_key_` and the target's name, with `_` for what no variable has.
pub(super) fn variable(target: &TargetId) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    format!("$two_key_{}", target.as_str().chars().map(plain).collect::<String>())
}

const BEFORE: &str = "    default '";
const AFTER: &str = "';\n";

/// Renders the file.
pub(super) fn render(config: &NginxDriverConfig, state: &NginxState) -> Result<String, serde_json::Error> {
    let variable = variable(&state.target);
    let (candidate, stable) = (config.upstream(state.candidate), config.upstream(state.candidate.other()));
    let (whole, part) = (state.weight_bp / 100, state.weight_bp % 100);
    let split = match state.weight_bp {
        0 => format!("    * {stable};\n"),
        10_000 => format!("    * {candidate};\n"),
        _ => format!("    {whole}.{part:02}% {candidate};\n    * {stable};\n"),
    };
    Ok(format!(
        "# Written by git two-key for target {}. What is changed here by hand is drift, and is put back.\n\
         split_clients \"{}\" {variable} {{\n{split}}}\nmap \"\" {variable}_state {{\n{BEFORE}{}{AFTER}}}\n",
        state.target,
        config.key,
        serde_json::to_string(state)?,
    ))
}

/// What a file says that this made, or somebody like it.
pub(super) fn read(text: &str, target: &TargetId) -> Result<NginxState, String> {
    let (_, rest) = text.split_once(BEFORE).ok_or("it does not say what it is for")?;
    let (json, _) = rest.split_once(AFTER).ok_or("it does not say what it is for")?;
    NginxState::parse(json, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NginxDriverConfig {
        serde_json::from_value(serde_json::json!({
            "include": "/i.conf", "stable": "blue", "candidate": "green", "status": "http://127.0.0.1/s",
            "test": ["/usr/sbin/nginx", "-t"], "reload": ["/usr/sbin/nginx", "-s", "reload"],
        }))
        .unwrap()
    }

    #[test]
    fn a_share_is_rendered_to_the_hundredth_and_what_it_is_for_reads_back() {
        let target = TargetId::parse("checkout-prod").unwrap();
        let before = NginxState {
            version: 1,
            target: target.clone(),
            weight_bp: 0,
            lease: None,
            step: None,
            candidate: Pool::Candidate,
        };
        let at = |weight_bp, candidate| NginxState {
            weight_bp,
            lease: LeaseId::parse("L-1"),
            step: Some(1),
            candidate,
            ..before.clone()
        };
        for (state, line) in [
            (before.clone(), "{\n    * blue;\n}"),
            (at(500, Pool::Candidate), "{\n    5.00% green;\n    * blue;\n}"),
            (at(1, Pool::Candidate), "    0.01% green;\n"),
            (at(10_000, Pool::Candidate), "{\n    * green;\n}"),
            (at(2_550, Pool::Stable), "{\n    25.50% blue;\n    * green;\n}"),
        ] {
            let text = render(&config(), &state).unwrap();
            assert!(text.contains(line), "{text}");
            assert!(text.contains("split_clients \"$remote_addr\" $two_key_checkout_prod {"), "{text}");
            assert_eq!(read(&text, &target), Ok(state));
        }
        let other = TargetId::parse("other").unwrap();
        assert!(read(&render(&config(), &before).unwrap(), &other).is_err());
        assert!(read("split_clients", &target).is_err());
    }
}
