//! The graph as text that other programs draw.

use std::fmt::Write;

use super::TaskTemplate;

pub(super) fn mermaid(template: &TaskTemplate) -> String {
    let mut text = String::from("flowchart TD\n");
    for (index, step) in template.steps.iter().enumerate() {
        let name = mermaid_text(&step.name);
        let callable = mermaid_text(&step.callable);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "    s{index}[\"{name}<br/><small>{callable}</small>\"]"
        );
    }
    for child in 0..template.graph.len() {
        for parent in template.graph.parents(child) {
            let _ = writeln!(text, "    s{parent} --> s{child}");
        }
    }
    text
}

pub(super) fn dot(template: &TaskTemplate) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "digraph \"{}\" {{", dot_text(&template.name));
    text.push_str("    rankdir=TB;\n    node [shape=box, style=rounded];\n");
    for (index, step) in template.steps.iter().enumerate() {
        let (name, callable) = (dot_text(&step.name), dot_text(&step.callable));
        let _ = writeln!(text, "    s{index} [label=\"{name}\\n{callable}\"];");
    }
    for child in 0..template.graph.len() {
        for parent in template.graph.parents(child) {
            let _ = writeln!(text, "    s{parent} -> s{child};");
        }
    }
    text.push_str("}\n");
    text
}

/// Mermaid reads HTML entities, numbered ones with `#` alone, inside quotes.
fn mermaid_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '#' | '<' | '>' | '&' | '`' => {
                let _ = write!(escaped, "#{};", u32::from(character));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

fn dot_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
