//! Links the image anew when its layout changes.
fn main() {
    println!("cargo:rerun-if-changed=../arch/oxen.ld");
}
