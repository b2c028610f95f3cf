//! Evidence: it holds as it was written, and nothing in it can be changed without that being seen.

use serde_json::Value as Json;

use crate::{
    gate::{
        Answer, Evidence, Measure, Metric, Question, Value, Verdict,
        answers::meaning,
        judge,
        testing::{Scene, id, time},
    },
    model::{Digest, GateId, Reason, Refusal, policy::Source},
};

const TERMS: &str = "gates:\n  depth:\n    source: exec\n    kind: gauge\n    candidate: {value: 'depth {{candidate}}'}\n    \
    settle: 0s\n    interval: 1m\n    min: {slots: 2}\n    absolute: {max: 10}\nthresholds:\n  depth: {halt: '> 20'}\n  memory: {halt: '> 95'}\n";

/// A source that says what a program would.
struct Program(&'static str);

impl Measure for Program {
    fn ask(&self, question: &Question) -> Answer {
        Answer { value: meaning(question, self.0), raw: Some(self.0.to_owned()) }
    }

    fn has(&self, _: Source) -> Result<(), Refusal> {
        Ok(())
    }

    fn metric(&self, name: &GateId) -> Option<Metric> {
        (name.as_str() == "memory").then(|| Metric { source: Source::Exec, query: "memory {{candidate}}".to_owned() })
    }
}

fn evidence(said: &'static str) -> Evidence {
    let mut scene = Scene::new(TERMS);
    judge(&scene.terms, &scene.context, &mut scene.watch, time(60), &Program("{\"value\": 1}"));
    let judged = judge(&scene.terms, &scene.context, &mut scene.watch, time(120), &Program(said));
    Evidence::new(scene.terms, scene.context, scene.watch, judged)
}

#[test]
fn evidence_holds_as_it_was_written() {
    for (said, verdict) in [
        ("{\"value\": 3}", Verdict::Pass),
        ("{\"value\": 30}", Verdict::Fail),
        ("{\"nothing\": true}", Verdict::Inconclusive),
        ("{\"value\": null}", Verdict::Inconclusive),
        ("garbage", Verdict::Inconclusive),
    ] {
        let evidence = evidence(said);
        assert_eq!(evidence.judgement.verdict, verdict);
        let bytes = evidence.bytes().unwrap();
        let read = Evidence::read(&bytes, Digest::of(&bytes)).unwrap();
        assert_eq!(read, evidence);
        let again = read.reevaluate();
        assert_eq!((again.differences, again.judgement), (Vec::new(), evidence.judgement));
    }
}

#[test]
fn other_bytes_than_those_that_were_signed_are_refused() {
    let bytes = evidence("{\"value\": 3}").bytes().unwrap();
    let digest = Digest::of(&bytes);
    let mut other = bytes.clone();
    other.push(b'\n');
    assert_eq!(Evidence::read(&other, digest).unwrap_err().reason, Reason::DigestMismatch);
    assert_eq!(Evidence::read(b"{}", Digest::of(b"{}")).unwrap_err().reason, Reason::Malformed);
    let newer = String::from_utf8(bytes).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    assert_eq!(Evidence::read(newer.as_bytes(), Digest::of(newer.as_bytes())).unwrap_err().reason, Reason::Malformed);
}

#[test]
fn whatever_was_changed_is_seen() {
    let evidence = evidence("{\"value\": 30}");
    let honest: Json = serde_json::from_slice(&evidence.bytes().unwrap()).unwrap();
    let changed = |path: &str, value: Json| {
        let mut changed = honest.clone();
        *changed.pointer_mut(path).unwrap_or_else(|| panic!("{path} in {honest:#}")) = value;
        let bytes = serde_json::to_vec(&changed).unwrap();
        Evidence::read(&bytes, Digest::of(&bytes)).unwrap().reevaluate().differences
    };
    assert_eq!(changed("/version", 1.into()), Vec::<String>::new(), "nothing is changed");
    for (path, value) in [
        ("/judgement/verdict", "PASS".into()),
        ("/judgement/gates/depth/verdict", "PASS".into()),
        ("/judgement/gates/depth/candidate/summary/max", 3.0.into()),
        ("/judgement/threshold", "fine".into()),
        ("/judgement/at", time(9000).to_string().into()),
        ("/terms/gates/depth/absolute/max", 40.0.into()),
        ("/terms/gates/depth/candidate/value", "other".into()),
        ("/terms/thresholds/depth/halt", "> 40".into()),
        ("/context/candidate", "v3".into()),
        ("/context/started", time(1).to_string().into()),
        ("/context/tier", 25.into()),
        ("/watch/gates/depth/slots/1/answers/0/value/number", 3.0.into()),
        ("/watch/gates/depth/slots/1/answers/0/raw", "{\"value\": 3}".into()),
        ("/watch/gates/depth/slots/1/answers/0/query", "depth v3".into()),
        ("/watch/gates/depth/slots/1/answers/0/from", time(0).to_string().into()),
        ("/watch/gates/depth/slots/1/at", time(121).to_string().into()),
        ("/watch/gates/depth/slots/1/number", 3.into()),
        ("/watch/gates/depth/slots/0/number", 2.into()),
        ("/watch/gates/depth/slots/1/answers", Json::Array(Vec::new())),
        ("/watch/thresholds/memory/metric/query", "memory v1".into()),
        ("/watch/thresholds/memory/metric", Json::Null),
        ("/watch/thresholds/memory/slots/1/answers/0/raw", "{\"value\": 3}".into()),
        ("/watch/thresholds/memory/slots/1/answers/0/value/number", 99.0.into()),
        ("/watch/thresholds/memory/slots/1/number", 9.into()),
    ] {
        assert!(!changed(path, value).is_empty(), "{path}");
    }
}

#[test]
fn a_gate_s_figures_can_be_read_from_the_evidence() {
    let evidence = evidence("{\"value\": 3}");
    assert_eq!(evidence.watch.slots(&id("depth"))[1].answers[0].value, Value::Number(3.0));
    assert_eq!(evidence.watch.slots(&id("depth"))[1].answers[0].query.as_deref(), Some("depth v2"));
}
