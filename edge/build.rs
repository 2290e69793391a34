//! Makes sure that the page's folder is there: what `scripts/web build` leaves in it becomes part of the binary. Without it the port says
//! that the page has not been built.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let page = Path::new("../web/dist");
    println!("cargo:rerun-if-changed={}", page.display());
    // In a checkout only: a source tree that cannot be written to has the page, or has none.
    if !page.exists() && Path::new("../web").exists() {
        std::fs::create_dir_all(page)?;
    }
    Ok(())
}
