//! Claiming steps to run.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::StepId;

/// Whose steps a claim may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClaimScope {
    /// Any task's.
    #[default]
    Any,
    /// Only this task's.
    Task(Uuid),
}

impl ClaimScope {
    /// Whether steps of this task are asked for.
    pub(crate) fn includes(self, task: Uuid) -> bool {
        match self {
            Self::Any => true,
            Self::Task(only) => task == only,
        }
    }
}

/// What a process wants to run.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The process that will hold the leases.
    pub process: Uuid,
    /// Whose steps.
    pub scope: ClaimScope,
    /// Only steps run by one of these handlers are claimed.
    pub callables: Vec<String>,
    /// Only steps of tasks that one of these describes are claimed; empty: of any task.
    pub serves: Vec<TemplateSelector>,
    /// At most this many steps.
    pub limit: u32,
    /// How long the leases last without a heartbeat.
    pub lease: Duration,
}

impl ClaimRequest {
    /// Whether both ask for the same steps, for the same process and time: they differ in how many.
    #[cfg(feature = "postgres")]
    pub(crate) fn asks_for_same(&self, other: &Self) -> bool {
        self.process == other.process
            && self.scope == other.scope
            && self.lease == other.lease
            && self.callables == other.callables
            && self.serves == other.serves
    }
}

/// Which templates' tasks a process serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TemplateSelector {
    /// Of this namespace.
    pub namespace: String,
    /// Of this name; `None`: of any.
    pub name: Option<String>,
    /// Of this version; `None`: of any.
    pub version: Option<String>,
}

impl TemplateSelector {
    /// Every template of a namespace.
    pub fn namespace(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: None,
            version: None,
        }
    }

    /// Whether it describes this template.
    pub fn matches(&self, namespace: &str, name: &str, version: &str) -> bool {
        self.namespace == namespace
            && self.name.as_ref().is_none_or(|own| own == name)
            && self.version.as_ref().is_none_or(|own| own == version)
    }

    /// Whether one of several describes this template. None at all describe every one.
    pub(crate) fn any(several: &[Self], namespace: &str, name: &str, version: &str) -> bool {
        several.is_empty()
            || several
                .iter()
                .any(|one| one.matches(namespace, name, version))
    }
}

/// `NAMESPACE`, `NAMESPACE/NAME` or `NAMESPACE/NAME@VERSION`.
impl fmt::Display for TemplateSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.namespace)?;
        if let Some(name) = &self.name {
            write!(f, "/{name}")?;
        }
        if let Some(version) = &self.version {
            write!(f, "@{version}")?;
        }
        Ok(())
    }
}

/// A text that describes no templates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} does not describe templates: write NAMESPACE, NAMESPACE/NAME or NAMESPACE/NAME@VERSION"
)]
pub struct BadSelector {
    /// The text.
    pub text: String,
}

impl FromStr for TemplateSelector {
    type Err = BadSelector;

    fn from_str(text: &str) -> Result<Self, BadSelector> {
        let bad = || BadSelector {
            text: text.to_owned(),
        };
        let part = |part: &str| match part {
            "" => Err(bad()),
            part => Ok(part.to_owned()),
        };
        let Some((namespace, rest)) = text.split_once('/') else {
            return if text.contains('@') {
                Err(bad())
            } else {
                Ok(Self::namespace(part(text)?))
            };
        };
        let (name, version) = match rest.rsplit_once('@') {
            Some((name, version)) => (name, Some(part(version)?)),
            None => (rest, None),
        };
        Ok(Self {
            namespace: part(namespace)?,
            name: Some(part(name)?),
            version,
        })
    }
}

/// What a claim brought.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The claimed steps.
    pub steps: Vec<ClaimedStep>,
    /// Time until the next retry in scope falls due, if one is waiting.
    pub next_due: Option<Duration>,
}

/// A step that a process holds a lease on.
#[derive(Debug, Clone)]
pub struct ClaimedStep {
    /// Which step.
    pub id: StepId,
    /// Its name in the template.
    pub name: String,
    /// The handler it is run by.
    pub callable: String,
    /// Rises with every claim and operator action; the fencing token.
    pub epoch: u64,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// How many attempts it may use up.
    pub max_attempts: u32,
    /// Of the task.
    pub correlation_id: Uuid,
    /// Results of its direct parents, in template order.
    pub parents: Vec<ParentResult>,
}

impl ClaimedStep {
    /// The lease this claim stands for.
    pub fn lease(&self) -> Lease {
        Lease {
            id: self.id,
            epoch: self.epoch,
        }
    }
}

/// What a parent step returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentResult {
    /// The parent's name.
    pub name: String,
    /// Its result as JSON text; `null` if it has none.
    pub result_json: String,
}

/// The right to run one step, until it runs out or is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// Which step.
    pub id: StepId,
    /// The epoch of the claim.
    pub epoch: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_read_as_it_is_shown() {
        for text in ["shop", "shop/order", "shop/order@1.0.0"] {
            let selector: TemplateSelector = text.parse().unwrap();
            assert_eq!(selector.to_string(), text);
        }
        for text in [
            "",
            "/order",
            "shop/",
            "shop@1.0.0",
            "shop/@1",
            "shop/order@",
        ] {
            assert!(text.parse::<TemplateSelector>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_selector_describes_every_template_and_some_describe_theirs() {
        let shop: TemplateSelector = "shop/order@1.0.0".parse().unwrap();
        assert!(TemplateSelector::any(&[], "a", "b", "c"));
        assert!(shop.matches("shop", "order", "1.0.0"));
        assert!(!shop.matches("shop", "order", "2.0.0"));
        assert!(!shop.matches("shop", "refund", "1.0.0"));
        assert!(TemplateSelector::namespace("shop").matches("shop", "refund", "3.0.0"));
        assert!(!TemplateSelector::any(&[shop], "other", "order", "1.0.0"));
    }
}
