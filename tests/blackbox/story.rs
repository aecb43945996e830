//! The example that people run first.

use tokio::process::Command;

use crate::house::{House, root};

#[tokio::test]
async fn the_first_book_by_curl_alone_goes_as_it_says() {
    let house = House::new().await;
    let told = Command::new("sh")
        .arg(root().join("examples/first-book.sh"))
        .arg(house.url())
        .output()
        .await;
    let told = told.expect("run the example");
    let (out, err) = (
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr),
    );
    assert!(told.status.success(), "{out}\n{err}");
    assert!(out.trim_end().ends_with("That is the whole story.\u{1b}[0m"), "{out}");
    house.ends_well().await;
    let log = house.log().join("\n");
    assert!(log.contains("is up"), "logs are read at all: {log}");
}
