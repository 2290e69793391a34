//! Arbitrary messages and arbitrary bytes.

use proptest::{collection::vec, prelude::*};

use crate::support::{canonical, json, shape};

/// One encoded field of `Everything`, of a random kind.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let varint = |mut value: u64| {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
        bytes
    };
    let tagged = move |number: u64, kind: u64, value: Vec<u8>| [varint(number << 3 | kind), value].concat();
    let sized = move |number: u64, value: Vec<u8>| tagged(number, 2, [varint(value.len() as u64), value].concat());
    let text = "[^\0]{0,12}";
    prop_oneof![
        (
            prop_oneof![Just(1_u64), Just(20)],
            any::<f64>().prop_filter("finite", |value| value.is_finite())
        )
            .prop_map(move |(number, value)| tagged(number, 1, value.to_le_bytes().to_vec())),
        any::<f32>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(move |value| tagged(2, 5, value.to_le_bytes().to_vec())),
        (3_u64..=4, any::<i32>()).prop_map(move |(number, value)| tagged(
            number,
            0,
            varint(i64::from(value).cast_unsigned())
        )),
        any::<u32>().prop_map(move |value| tagged(5, 0, varint(value.into()))),
        (6_u64..=8, any::<u32>()).prop_map(move |(number, value)| tagged(number, 0, varint(value.into()))),
        any::<u32>().prop_map(move |value| tagged(9, 5, value.to_le_bytes().to_vec())),
        (prop_oneof![Just(10_u64), Just(12)], any::<u64>()).prop_map(move |(number, value)| tagged(
            number,
            1,
            value.to_le_bytes().to_vec()
        )),
        (prop_oneof![Just(13_u64), Just(22)], 0_u64..=1).prop_map(move |(number, value)| tagged(
            number,
            0,
            varint(value)
        )),
        (prop_oneof![Just(14_u64), Just(23), Just(29), Just(35)], text)
            .prop_map(move |(number, value)| sized(number, value.into_bytes())),
        vec(any::<u8>(), 0..20).prop_map(move |value| sized(15, value)),
        (
            prop_oneof![Just(16_u64), Just(24), Just(30)],
            prop_oneof![Just(1_u64), Just(2), Just(7)]
        )
            .prop_map(move |(number, value)| tagged(number, 0, varint(value))),
        (-62_135_596_800_i64..=253_402_300_799, 0_u64..1_000_000).prop_map(move |(seconds, micros)| {
            let seconds = tagged(1, 0, varint(seconds.cast_unsigned()));
            sized(18, [seconds, tagged(2, 0, varint(micros * 1000))].concat())
        }),
        (0_u64..1_000_000, 0_u64..1_000_000_000).prop_map(move |(seconds, nanos)| sized(
            19,
            [tagged(1, 0, varint(seconds)), tagged(2, 0, varint(nanos))].concat()
        )),
        vec(any::<i32>(), 0..4).prop_map(move |values| {
            sized(
                26,
                values
                    .into_iter()
                    .flat_map(|value| varint(i64::from(value).cast_unsigned()))
                    .collect(),
            )
        }),
        (text, text).prop_map(move |(key, value)| sized(
            32,
            [sized(1, key.into_bytes()), sized(2, value.into_bytes())].concat()
        )),
        any::<u32>().prop_map(move |value| tagged(36, 0, varint((value >> 1).into()))),
        Just(sized(38, b"{\"a\":[1,\"x\"]}".to_vec())),
        Just(sized(39, b"{\"k\": null}".to_vec())),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let flat = vec(field(), 0..12).prop_map(|fields| fields.concat());
    flat.prop_recursive(4, 24, 3, |inner| {
        (vec(field(), 0..6), vec(inner, 0..3)).prop_map(|(fields, inner)| {
            let mut message = fields.concat();
            for (order, part) in inner.into_iter().enumerate() {
                // a_message = 17, messages = 31.
                message.extend_from_slice(if order == 0 { &[0x8a, 0x01] } else { &[0xfa, 0x01] });
                let mut length = part.len();
                while length >= 0x80 {
                    message.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                    length >>= 7;
                }
                message.push(u8::try_from(length).unwrap());
                message.extend(part);
            }
            message
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// JSON says all there is, reading it back loses nothing, and what was read passes validation.
    #[test]
    fn json_and_wire_agree(wire in message()) {
        let text = json("Everything", &wire);
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let again = shape("Everything").read_json(text.as_bytes()).unwrap();
        prop_assert_eq!(json("Everything", &again), text);
        prop_assert!(shape("Everything").validate(&again).is_ok());
        // The second opinion: prost-reflect sees the same message.
        let mut first = canonical("Everything", &wire);
        let mut second = canonical("Everything", &again);
        strip(&mut first);
        strip(&mut second);
        prop_assert_eq!(first, second);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = shape("Everything").read_json(&bytes);
        let _ = shape("Everything").validate(&bytes);
        let mut out = Vec::new();
        if shape("Everything").write_json(&bytes, &mut out).is_ok() {
            prop_assert!(std::str::from_utf8(&out).is_ok() || bytes.len() > 2);
        }
    }

    /// Bytes near a message reach deeper than noise does.
    #[test]
    fn damaged_messages_never_panic(mut wire in message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        if !wire.is_empty() {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        let _ = shape("Everything").write_json(&wire, &mut Vec::new());
        let _ = shape("Everything").validate(&wire);
    }

    /// Whatever `read` accepts, `validate` accepts.
    #[test]
    fn validation_agrees_with_reading(body in body()) {
        if let Ok(wire) = shape("CreateBookRequest").read_json(body.as_bytes()) {
            prop_assert!(shape("CreateBookRequest").validate(&wire).is_ok(), "{}", body);
        }
    }
}

/// Bodies of which many are good.
fn body() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("title"),
        Just("description"),
        Just("status"),
        Just("due_at"),
        Just("tags"),
        Just("extras"),
        Just("related_ids"),
        Just("copies"),
        Just("lent"),
        Just("scores"),
        Just("url"),
        Just("contact"),
        Just("shelf_id"),
    ];
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"lent\"".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("[{\"name\":\" a\"}]".to_owned()),
        Just("[\"A0EEBC999C0B4EF8BB6D6BB9BD380A11\"]".to_owned()),
        Just("\"2031-01-01\"".to_owned()),
        Just("\"http://a\"".to_owned()),
        Just("\"a@b.c\"".to_owned()),
        Just("true".to_owned()),
        Just("{\"a\":0}".to_owned()),
        any::<i16>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| value.to_string()),
        "\"[a-z]{0,8}\"",
    ];
    vec((key, value), 0..6).prop_map(|entries| {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, value)| format!("\"{key}\":{value}"))
            .collect();
        format!(
            "{{\"title\":\"t\"{}{}}}",
            if entries.is_empty() { "" } else { "," },
            entries.join(",")
        )
    })
}

/// Removes what JSON does not tell apart: a nested message without fields stays, implicit zeros are not there anyway.
fn strip(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            // Free-form JSON may be laid out otherwise; negative zero is a value.
            map.values_mut().for_each(strip);
            map.sort_keys();
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
