//! Structures of real workflow runs, where they are at hand: `POSTROOM_WORKFLOWS` names a folder of templates.

use std::collections::HashMap;
use std::path::Path;

use postroom::orchestration::template::TaskTemplate;

use crate::place::Place;

#[test]
fn every_workflow_of_the_folder_completes_within_its_critical_path() {
    let Some(workflows) = std::env::var_os("POSTROOM_WORKFLOWS") else {
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(workflows)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let folder = Place::new();
        let template = TaskTemplate::load(&file).unwrap();
        let steps = template.steps().len();
        let concurrency = steps.to_string();
        let outcome = folder
            .postroom(&["run", path(&file), "--json", "--concurrency", &concurrency])
            .expect(0);
        let summary = outcome.json();
        assert_eq!(summary["steps_complete"], steps, "{}", file.display());

        let shown = folder
            .postroom(&[
                "task",
                "show",
                summary["task_uuid"].as_str().unwrap(),
                "--json",
            ])
            .json();
        let mut ended = HashMap::new();
        for step in shown["steps"].as_array().unwrap() {
            assert_eq!(step["attempts"], 1, "{step}");
            ended.insert(
                step["name"].as_str().unwrap(),
                step["ended_at"].as_i64().unwrap(),
            );
        }
        for step in shown["steps"].as_array().unwrap() {
            for parent in step["depends_on"].as_array().unwrap() {
                let started = step["started_at"].as_i64().unwrap();
                assert!(ended[parent.as_str().unwrap()] <= started, "{step}");
            }
        }
        let bound = 1.05 * critical_path(&template)
            + 0.005 * f64::from(u32::try_from(template.graph().depth()).unwrap());
        let took = summary["elapsed_ms"].as_f64().unwrap() / 1000.0;
        println!(
            "{}: {steps} steps, {took:.3} s, bound {bound:.3} s",
            file.display()
        );
        // The bound is for what users run: a release build.
        assert!(
            took <= bound || cfg!(debug_assertions),
            "{}: {took} s, bound {bound} s",
            file.display()
        );
    }
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

/// Seconds along the longest chain of steps.
fn critical_path(template: &TaskTemplate) -> f64 {
    let graph = template.graph();
    let mut until = vec![0.0_f64; graph.len()];
    for &step in graph.topological_order() {
        let before = graph
            .parents(step)
            .iter()
            .map(|&parent| until[parent])
            .fold(0.0, f64::max);
        let seconds = template.steps()[step].initialization()["seconds"]
            .as_f64()
            .unwrap_or(0.0);
        until[step] = before + seconds;
    }
    until.into_iter().fold(0.0, f64::max)
}
