//! Dump of the configuration that nginx would load (`nginx -T`): what keeps the split from being exact. Pure; only
//! names and braces of nginx's language are read.

use std::collections::BTreeSet;

use super::workers;
use crate::{
    model::{Reason, Refusal},
    reconciler::drivers::Survey,
};

/// Words by which an upstream keeps people on one of its servers.
const PERSISTENT: [&str; 4] = ["sticky", "ip_hash", "hash", "sticky_cookie_insert"];

/// What there is to say of two upstreams before a lease begins.
pub(super) fn survey(text: &str, stable: &str, candidate: &str) -> Survey {
    let mut survey = Survey::default();
    if workers::shutdown_timeout(text).is_none() {
        survey.remarks.push(
            "nothing bounds how long old workers go on with connections that they have, and so send requests to the candidate after \
             a stop: write in nginx.conf, outside of http: worker_shutdown_timeout 10s;"
                .to_owned(),
        );
    }
    let lines = directives(text);
    let servers = |name: &str| {
        let inside = lines.iter().filter(|line| line.block == ["upstream", name]);
        inside
            .filter(|line| line.words.first().is_some_and(|word| word == "server"))
            .filter_map(|line| line.words.get(1).cloned())
            .collect::<BTreeSet<_>>()
    };
    for address in servers(stable).intersection(&servers(candidate)) {
        let message =
            format!("server {address} is in both upstreams, {stable} and {candidate}: neither share is what it says");
        let hint =
            format!("take it out of one of them, also as `backup`; at 0 % nothing of {candidate} may be reached");
        survey.faults.push(Refusal::new(Reason::Malformed, message).hint(hint));
    }
    for line in &lines {
        let Some(first) = line.words.first() else { continue };
        let is_ours = [stable, candidate].iter().any(|name| line.block == ["upstream", name]);
        if is_ours && PERSISTENT.contains(&first.as_str()) {
            survey.remarks.push(format!(
                "upstream {} keeps people on a server (`{}`): only within itself, as the split is asked first, so that a stop moves them",
                line.block.last().map_or("", String::as_str), line.words.join(" ")
            ));
        }
        let beside = [format!("http://{candidate}"), format!("https://{candidate}")];
        if first == "proxy_pass"
            && line
                .words
                .get(1)
                .is_some_and(|to| beside.iter().any(|one| to == one || to.starts_with(&format!("{one}/"))))
        {
            survey.remarks.push(format!(
                "`{}` sends requests to {candidate} beside the split, which no stop takes away",
                line.words.join(" ")
            ));
        }
    }
    survey
}

/// A directive, and the block in which it stands.
pub(super) struct Directive {
    pub(super) block: Vec<String>,
    pub(super) words: Vec<String>,
}

/// The simple directives of a configuration, with the innermost block around each.
pub(super) fn directives(text: &str) -> Vec<Directive> {
    let (mut blocks, mut words, mut word, mut quote) = (Vec::<Vec<String>>::new(), Vec::new(), String::new(), None);
    let mut found = Vec::new();
    let mut characters = text.chars();
    let end_word = |word: &mut String, words: &mut Vec<String>| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', _) => word.extend(characters.next()),
            (one, Some(open)) if one == open => quote = None,
            ('"' | '\'', None) if word.is_empty() => quote = Some(character),
            ('#', None) if word.is_empty() => drop(characters.by_ref().find(|one| *one == '\n')),
            ('{', None) if word.ends_with('$') => word.push('{'),
            ('}', None) if word.contains("${") && !word.ends_with('}') => word.push('}'),
            (';' | '{' | '}', None) => {
                end_word(&mut word, &mut words);
                let words = std::mem::take(&mut words);
                match character {
                    '{' => blocks.push(words),
                    '}' => drop(blocks.pop()),
                    _ => found.push(Directive { block: blocks.last().cloned().unwrap_or_default(), words }),
                }
            }
            (space, None) if space.is_whitespace() => end_word(&mut word, &mut words),
            (one, _) => word.push(one),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "# configuration file /etc/nginx/nginx.conf:\nworker_shutdown_timeout 10s;\nhttp {\n  log_format x \"{ a; b }\"; # ; {\n  upstream blue { server 10.0.0.1:80; server 10.0.0.2:80 backup; }\n  \
                         upstream green {\n    ip_hash;\n    server 10.0.0.3:80 max_fails=0;\n  }\n  server { location / { proxy_pass http://$two_key_shop; } }\n}\n";

    fn of(text: &str) -> Survey {
        survey(text, "blue", "green")
    }

    #[test]
    fn a_server_in_both_upstreams_is_a_fault_and_one_in_each_is_not() {
        assert_eq!(of(WHOLE).faults, []);
        let both = of(&WHOLE.replace("10.0.0.2:80", "10.0.0.3:80")).faults;
        assert_eq!(both.len(), 1);
        assert!(both[0].reason == Reason::Malformed && both[0].message.contains("10.0.0.3:80 is in both"), "{both:?}");
    }

    #[test]
    fn what_keeps_people_within_an_upstream_and_what_goes_beside_the_split_is_told() {
        let remarks = of(WHOLE).remarks;
        assert!(
            remarks.len() == 1 && remarks[0].contains("upstream green keeps people on a server (`ip_hash`)"),
            "{remarks:?}"
        );
        let remarks = of(&WHOLE.replace("http://$two_key_shop", "http://green/beta")).remarks;
        assert!(remarks.iter().any(|remark| remark.contains("beside the split")), "{remarks:?}");
        let other = of(&WHOLE.replace("ip_hash", "least_conn").replace("http://$two_key_shop", "http://greenhouse"));
        assert_eq!(other, Survey::default());
    }

    #[test]
    fn old_workers_that_nothing_ends_are_told() {
        let remarks = of(&WHOLE.replace("worker_shutdown_timeout", "worker_rlimit_nofile")).remarks;
        assert!(remarks.iter().any(|remark| remark.contains("write in nginx.conf")), "{remarks:?}");
    }
}
