//! The test contract, and prost-reflect as the second opinion on wire bytes.

use std::{path::Path, sync::LazyLock};

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions, prost::Message as _};
use serde_json::Value;
use transcoder::{Catalog, Found, PathParams, Problem, Route, Shape};

/// The encoded descriptor set of `tests/proto`.
pub static DESCRIPTORS: LazyLock<Vec<u8>> =
    LazyLock::new(|| descriptors(Path::new("tests/proto"), "test/v1/library.proto"));
pub static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::compile(&DESCRIPTORS).unwrap());
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS.as_slice()).unwrap());

pub fn descriptors(root: &Path, file: &str) -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([here.join(root), here.join("../../proto")]).unwrap();
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_file(file)
        .unwrap();
    compiler.encode_file_descriptor_set()
}

/// The route with this method and path, and its variables.
pub fn route(method: &str, path: &str) -> (&'static Route, PathParams) {
    match CATALOG.find(&method.parse().unwrap(), path) {
        Found::Route(route, params) => (route, params),
        other => panic!("{method} {path}: {other:?}"),
    }
}

pub fn shape(name: &str) -> std::sync::Arc<Shape> {
    CATALOG.shape(&format!("test.v1.{name}")).unwrap()
}

/// Wire bytes of a message given in protobuf's own JSON form.
pub fn wire(name: &str, canonical: &Value) -> Vec<u8> {
    let descriptor = POOL.get_message_by_name(&format!("test.v1.{name}")).unwrap();
    DynamicMessage::deserialize(descriptor, canonical)
        .unwrap()
        .encode_to_vec()
}

/// Protobuf's own JSON form of wire bytes, with proto names and without unset fields.
pub fn canonical(name: &str, wire: &[u8]) -> Value {
    let descriptor = POOL.get_message_by_name(&format!("test.v1.{name}")).unwrap();
    let message = DynamicMessage::decode(descriptor, wire).unwrap();
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap()
}

/// Our JSON of wire bytes.
pub fn json(name: &str, wire: &[u8]) -> String {
    let mut out = Vec::new();
    shape(name).write_json(wire, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Problems as the client sees them.
pub fn shown(problems: &[Problem]) -> Value {
    serde_json::to_value(problems).unwrap()
}

/// `(type, dotted place)` of each problem, in order.
pub fn kinds(problems: &[Problem]) -> Vec<(&'static str, String)> {
    let place = |problem: &Problem| {
        problem
            .loc
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(".")
    };
    problems.iter().map(|problem| (problem.kind, place(problem))).collect()
}
