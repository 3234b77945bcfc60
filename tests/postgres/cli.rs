//! The command line on `PostgreSQL`.

use std::path::Path;
use std::process::{Command, Output};

use super::cluster;

const TEMPLATE: &str = "
name: greeting
version: 1.0.0
steps:
  - name: hello
    handler: { callable: shell, initialization: { command: 'echo run >> ledger; echo hello' } }
  - name: after
    dependencies: [hello]
    handler: { callable: noop }
";

fn postroom(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postroom"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[tokio::test]
async fn one_url_moves_a_workflow_to_a_server() {
    let url = cluster::database().await;
    let url = url.replace("postgres@", "postgres:secret@");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.yaml"), TEMPLATE).unwrap();

    let looked = postroom(folder.path(), &["task", "list", "--database", &url]);
    assert_eq!(looked.status.code(), Some(3), "{}", said(&looked));
    assert!(said(&looked).contains("no schema"), "{}", said(&looked));

    let mut outputs = vec![looked];
    for _ in 0..2 {
        let run = postroom(folder.path(), &["run", "t.yaml", "--database", &url]);
        assert!(run.status.success(), "{}", said(&run));
        outputs.push(run);
    }
    let ledger = std::fs::read_to_string(folder.path().join("ledger")).unwrap();
    assert_eq!(ledger, "run\n", "what is complete is not run again");
    let listed = postroom(folder.path(), &["task", "list", "--database", &url]);
    assert!(said(&listed).contains("greeting"), "{}", said(&listed));
    outputs.push(listed);
    let missing = uuid::Uuid::new_v4().to_string();
    let shown = postroom(
        folder.path(),
        &["task", "show", &missing, "--database", &url],
    );
    assert!(!shown.status.success());
    outputs.push(shown);
    for output in outputs {
        assert!(!said(&output).contains("secret"), "{}", said(&output));
    }
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 2, "no file beside the template and the ledger");
}
