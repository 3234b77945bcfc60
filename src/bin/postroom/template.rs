//! `postroom template`: checking and drawing templates. Also how `run` loads its own.

use std::path::Path;

use postroom::orchestration::template::{LoadError, TaskTemplate};
use postroom::orchestration::worker::HandlerTable;

use crate::args::{GraphFormat, TemplateCommand};
use crate::exit::{Failure, Status};
use crate::{handlers, output};

pub(crate) fn template(command: &TemplateCommand) -> Result<Status, Failure> {
    match command {
        TemplateCommand::Check { file, any_handler } => {
            let known = handlers::table()?;
            let template = if *any_handler {
                parse(file)?
            } else {
                load(file, &known)?
            };
            let steps = template.steps().len();
            let levels = template.graph().depth();
            output::answer(&format!(
                "{}: {}/{} {}: {steps} {} in {levels} {}",
                file.display(),
                template.namespace(),
                template.name(),
                template.version(),
                if steps == 1 { "step" } else { "steps" },
                if levels == 1 { "level" } else { "levels" },
            ))?;
        }
        TemplateCommand::Graph { file, format } => {
            let template = parse(file)?;
            let drawn = match format {
                GraphFormat::Mermaid => template.to_mermaid(),
                GraphFormat::Dot => template.to_dot(),
            };
            output::answer(drawn.trim_end())?;
        }
    }
    Ok(Status::Complete)
}

/// A template that is good in itself.
pub(crate) fn parse(file: &Path) -> Result<TaskTemplate, Failure> {
    TaskTemplate::load(file).map_err(|error| match error {
        LoadError::Template(problems) => Failure::template(problems.as_slice()),
        other => Failure::template([crate::exit::chain(&other)]),
    })
}

/// A template that is good in itself, and whose handlers are here and accept their configuration.
pub(crate) fn load(file: &Path, known: &HandlerTable) -> Result<TaskTemplate, Failure> {
    let template = parse(file)?;
    known
        .check(&template)
        .map_err(|problems| Failure::template(problems.as_slice()))?;
    Ok(template)
}
