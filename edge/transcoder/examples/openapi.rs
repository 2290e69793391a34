//! Prints the OpenAPI document of a descriptor set: `cargo run -p transcoder --example openapi -- descriptors.bin`.

use transcoder::{ApiInfo, Catalog};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("give the path of an encoded descriptor set")?;
    let catalog = Catalog::compile(&std::fs::read(path)?)?;
    let info = ApiInfo {
        title: "API".to_owned(),
        version: "0".to_owned(),
        description: String::new(),
    };
    println!("{}", serde_json::to_string_pretty(&catalog.openapi(&info))?);
    Ok(())
}
