//! Prints the microseconds that a page of twenty objects takes, both ways. Meaningful with optimization only:
//! `cargo run --release -p transcoder --example codec`.

use std::{hint::black_box, path::Path, time::Instant};

use prost_reflect::{DescriptorPool, DynamicMessage, prost::Message as _};
use serde_json::json;
use transcoder::Catalog;

const ROUNDS: u32 = 2000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([here.join("tests/proto"), here.join("../../proto")])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_file("test/v1/page.proto")?;
    let descriptors = compiler.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(descriptors.as_slice())?;
    let catalog = Catalog::compile(&descriptors)?;

    let id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let moment = "2026-11-22T07:08:48.667082Z";
    let task = json!({
        "id": id, "boardId": id, "title": "Describe the way from the request to the answer",
        "description": "A \"quoted\" word, a line break\nand a plain rest of the text that is a little longer.",
        "status": "TASK_STATUS_IN_PROGRESS", "priority": "medium", "assignedAgentId": id, "tagIds": [id],
        "createdByUserId": id, "inProgressAt": moment, "createdAt": moment, "updatedAt": moment,
        "dependsOnTaskIds": [id], "blockedByTaskIds": [id], "isBlocked": true,
    });
    let page = json!({ "items": vec![task; 20], "total": 20, "limit": 20 });
    let descriptor = pool.get_message_by_name("test.page.v1.Page").ok_or("no page")?;
    let wire = DynamicMessage::deserialize(descriptor, &page)?.encode_to_vec();
    let page = catalog.shape("test.page.v1.Page").ok_or("no page")?;
    let mut text = Vec::new();
    page.write_json(&wire, &mut text)?;
    println!("{} wire bytes, {} JSON bytes", wire.len(), text.len());

    let mut out = Vec::with_capacity(text.len());
    let mut write = f64::INFINITY;
    let mut read = f64::INFINITY;
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            out.clear();
            page.write_json(black_box(&wire), &mut out)?;
        }
        write = write.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(page.read_json(black_box(&text))).map_err(|problems| problems[0].to_string())?;
        }
        read = read.min(start.elapsed().as_secs_f64());
    }
    for (what, seconds) in [("write", write), ("read", read)] {
        println!("{what}: {:.1} us", seconds * 1e6 / f64::from(ROUNDS));
    }
    Ok(())
}
