//! Compiles the contract: messages, services and the descriptor set with comments and options.
//!
//! protox instead of protoc, so that a build needs no other program. The descriptor set is written by protox itself, because
//! prost-types would drop the custom options.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=missioncontrol");
    println!("cargo:rerun-if-changed=google");
    let mut files = Vec::new();
    collect("missioncontrol".into(), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(&files)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let mut set = compiler.file_descriptor_set();
    set.file
        .retain(|file| file.package() != "missioncontrol.options.v1" && file.package() != "google.api");
    let mut config = tonic_prost_build::Config::new();
    // Names travel with resources inside events.
    config.enable_type_names();
    tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::MessageCodec")
        .compile_fds_with_config(set, config)?;
    Ok(())
}

fn collect(dir: PathBuf, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(path, files)?;
        } else if path.extension().is_some_and(|kind| kind == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
