use std::collections::HashMap;

use super::*;

fn question_of(text: &str, options: &[(&str, &str)]) -> UpdateOnboardingRequest {
    UpdateOnboardingRequest {
        question: Some(text.into()),
        options: options
            .iter()
            .map(|(id, label)| OnboardingOption {
                id: (*id).into(),
                label: (*label).into(),
            })
            .collect(),
        ..UpdateOnboardingRequest::default()
    }
}

fn fields(error: &Error) -> Vec<&str> {
    error
        .violations()
        .iter()
        .map(|violation| violation.field.as_str())
        .collect()
}

#[test]
fn a_question_is_kept_as_trimmed_json() {
    let request = question_of("  What? ", &[("1", " A "), ("2", "B")]);
    let expected = r#"{"question":"What?","options":[{"id":"1","label":"A"},{"id":"2","label":"B"}]}"#;
    assert_eq!(said(request).unwrap(), Said::Question(expected.into()));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    for (request, expected) in [
        (UpdateOnboardingRequest::default(), vec!["status", "question"]),
        (question_of(" ", &[]), vec!["question", "options"]),
        (
            question_of("a", &[("1", " "), ("2", "b"), ("2", "c")]),
            vec!["options[0]", "options[2].id"],
        ),
        (
            UpdateOnboardingRequest {
                status: Some("done".into()),
                ..question_of("a", &[("1", "b")])
            },
            vec!["status", "question"],
        ),
        (
            UpdateOnboardingRequest {
                status: Some("complete".into()),
                success_metrics: Some(b"[]".to_vec()),
                ..UpdateOnboardingRequest::default()
            },
            vec!["board_type", "success_metrics"],
        ),
        (
            UpdateOnboardingRequest {
                status: Some("complete".into()),
                board_type: Some("goal".into()),
                objective: Some("o".into()),
                success_metrics: Some(b"{}".to_vec()),
                ..UpdateOnboardingRequest::default()
            },
            vec![""],
        ),
    ] {
        assert_eq!(fields(&said(request.clone()).unwrap_err()), expected, "{request:?}");
    }
}

#[test]
fn a_draft_is_kept_without_what_is_not_given() {
    let request = UpdateOnboardingRequest {
        status: Some("complete".into()),
        board_type: Some(" goal ".into()),
        objective: Some("Ship".into()),
        success_metrics: Some(br#"{"b": 1, "a": 2}"#.to_vec()),
        user_profile: Some(OnboardingUserProfile {
            preferred_name: Some(" Sam ".into()),
            notes: Some("  ".into()),
            ..OnboardingUserProfile::default()
        }),
        lead_agent: Some(OnboardingLeadAgent {
            name: Some("Ava".into()),
            verbosity: Some(OnboardingVerbosity::Concise.into()),
            ..OnboardingLeadAgent::default()
        }),
        ..UpdateOnboardingRequest::default()
    };
    let Said::Complete(draft, text) = said(request).unwrap() else {
        panic!("a draft")
    };
    let expected = r#"{"board_type":"goal","objective":"Ship","success_metrics":{"b":1,"a":2},"status":"complete","user_profile":{"preferred_name":"Sam"},"lead_agent":{"name":"Ava","verbosity":"concise"}}"#;
    assert_eq!(text, expected);
    assert_eq!(draft.user_profile.unwrap().notes, None);
}

#[test]
fn only_a_lead_that_acts_alone_needs_no_approvals() {
    let level = |level: OnboardingAutonomyLevel| OnboardingLeadAgent {
        autonomy_level: Some(level.into()),
        ..OnboardingLeadAgent::default()
    };
    let profile = |key: &str, value: &str| OnboardingLeadAgent {
        identity_profile: HashMap::from([(key.to_owned(), value.to_owned())]),
        ..OnboardingLeadAgent::default()
    };
    assert!(!is_autonomous(None));
    for (lead, expected) in [
        (OnboardingLeadAgent::default(), false),
        (level(OnboardingAutonomyLevel::AskFirst), false),
        (level(OnboardingAutonomyLevel::Balanced), false),
        (level(OnboardingAutonomyLevel::Autonomous), true),
        (profile("autonomy", " Fully_Autonomous "), true),
        (profile("mode", "full-autonomy"), true),
        (profile("autonomy_level", "works fully on its own, autonomously"), true),
        (profile("autonomy", "semi-autonomous"), false),
        (profile("role", "autonomous"), false),
    ] {
        assert_eq!(is_autonomous(Some(&lead)), expected, "{lead:?}");
    }
}

#[test]
fn a_lead_gets_its_own_words_and_the_preferences() {
    let lead = OnboardingLeadAgent {
        identity_profile: HashMap::from([
            ("role".to_owned(), "Lead".to_owned()),
            ("verbosity".to_owned(), "x".to_owned()),
        ]),
        verbosity: Some(OnboardingVerbosity::Detailed.into()),
        update_cadence: Some(OnboardingUpdateCadence::Asap.into()),
        custom_instructions: Some("be kind".into()),
        ..OnboardingLeadAgent::default()
    };
    assert_eq!(
        Value::Object(lead_profile(&lead)),
        serde_json::json!({"role": "Lead", "verbosity": "detailed", "update_cadence": "asap", "custom_instructions": "be kind"})
    );
}

#[test]
fn the_request_names_board_and_door() {
    let text = prompt("Alpha", "What for", "http://mc/x");
    assert!(
        text.starts_with("BOARD ONBOARDING REQUEST\nBoard Name: Alpha\nBoard Description: What for\n"),
        "{text}"
    );
    assert!(text.contains("\nPOST http://mc/x\n"), "{text}");
    // The examples are what the door takes.
    for line in text.lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert_eq!(answer(" A ", Some(&" b ".to_owned())), "A: b");
    assert_eq!(answer(" A ", Some(&"  ".to_owned())), "A");
    assert_eq!(answer("A", None), "A");
}
