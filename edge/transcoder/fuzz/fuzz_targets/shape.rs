//! Arbitrary bytes as JSON and as wire: nothing panics, and what is accepted is stable.
//! Run with `cargo +nightly fuzz run shape` in `edge/transcoder`.
#![no_main]

use std::{path::Path, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use transcoder::{Catalog, Shape};

static SHAPES: LazyLock<Vec<std::sync::Arc<Shape>>> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler =
        protox::Compiler::new([here.join("../tests/proto"), here.join("../../../proto")]).expect("the roots exist");
    compiler.include_source_info(true).include_imports(true);
    compiler
        .open_file("test/v1/library.proto")
        .expect("the contract compiles");
    let catalog = Catalog::compile(&compiler.encode_file_descriptor_set()).expect("the contract is servable");
    ["Everything", "CreateBookRequest", "UpdateBookRequest", "BookEvent"]
        .iter()
        .filter_map(|name| catalog.shape(&format!("test.v1.{name}")))
        .collect()
});

fuzz_target!(|data: &[u8]| {
    for shape in SHAPES.iter() {
        if let Ok(wire) = shape.read_json(data) {
            shape.validate(&wire).expect("what was read is valid");
            let mut text = Vec::new();
            shape
                .write_json(&wire, &mut text)
                .expect("what was read can be written");
            // What a request takes from its path is not required in its body, and is written empty.
            if let Ok(again) = shape.read_json(&text) {
                let mut same = Vec::new();
                shape
                    .write_json(&again, &mut same)
                    .expect("it can be written again");
                assert_eq!(text, same);
            }
        }
        let _ = shape.validate(data);
        let _ = shape.write_json(data, &mut Vec::new());
    }
});
