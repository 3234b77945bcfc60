//! Builds the tree of a document out of the parser's events.
//!
//! Without recursion, and with what aliases stand for counted as if it were written out: neither a deep
//! document nor one that refers to itself many times over costs more stack or memory than its limits say.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Tag, options};

use super::MAX_DOCUMENT_BYTES;
use super::document::{Entry, Located, Node};
use super::errors::{Place, Problem, TemplateError, short};
use super::scalar;

/// The most lists and maps that may lie within one another.
pub(super) const MAX_DEPTH: usize = 64;

pub(super) fn compose(text: &str) -> Result<Located<Node>, TemplateError> {
    let options = options! { emit_comments: false };
    let mut composer = Composer::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax(error.info(), place(error.marker())))?;
        composer.take(event, place(&span.start))?;
    }
    Ok(composer.root.unwrap_or(Located {
        value: Node::Null,
        place: None,
    }))
}

fn place(marker: &Marker) -> Place {
    Place {
        line: marker.line() as u64,
        column: marker.col() as u64 + 1,
    }
}

fn syntax(message: impl Into<String>, place: Place) -> TemplateError {
    TemplateError::new(Problem::Syntax(message.into()), Some(place))
}

/// A finished node, how much was written for it, and how many lists and maps lie within one another in it.
#[derive(Clone)]
struct Finished {
    node: Located<Node>,
    size: usize,
    height: usize,
}

#[derive(Default)]
struct Composer {
    root: Option<Located<Node>>,
    open: Vec<Collection>,
    anchors: HashMap<usize, Finished>,
    size: usize,
}

/// A list or map whose end has not come yet.
struct Collection {
    place: Place,
    anchor: usize,
    size_before: usize,
    height: usize,
    content: Content,
}

enum Content {
    List(Vec<Located<Node>>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    keys: HashSet<Rc<str>>,
    next: Option<Key>,
    merged: Vec<Entry>,
}

enum Key {
    Name(Located<Rc<str>>),
    /// `<<`: the entries of another map, or of several, unless this one has them.
    Merge,
}

impl Composer {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), TemplateError> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err(syntax(
                "a second document begins here; a template is one document",
                place,
            )),
            Event::Scalar(text, style, anchor, tag) => {
                let size = text.len() + 1;
                self.grow(size, place)?;
                let plain = style == ScalarStyle::Plain;
                let as_text = !plain || is_text(tag.as_deref(), place)?;
                refuse_tag(tag.as_deref().filter(|_| !plain), place)?;
                if self.expects_key() {
                    return self.key(&text, plain, place);
                }
                let value = if as_text {
                    Node::Text(text.into())
                } else {
                    scalar::resolve(&text).map_err(|message| syntax(message, place))?
                };
                let node = Located {
                    value,
                    place: Some(place),
                };
                self.finish(
                    Finished {
                        node,
                        size,
                        height: 0,
                    },
                    anchor,
                    place,
                )
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), place)?;
                self.begin(Content::List(Vec::new()), anchor, place)
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), place)?;
                self.begin(Content::Map(OpenMap::default()), anchor, place)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(place),
            Event::Alias(anchor) => self.alias(anchor, place),
            _ => Ok(()),
        }
    }

    fn grow(&mut self, by: usize, place: Place) -> Result<(), TemplateError> {
        self.size = self.size.saturating_add(by);
        // Twice the document: every node counts, also where the document has only a comma.
        if self.size > 2 * MAX_DOCUMENT_BYTES {
            return Err(TemplateError::new(Problem::TooLarge, Some(place)));
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.open.last().map(|collection| &collection.content),
            Some(Content::Map(OpenMap { next: None, .. }))
        )
    }

    fn key(&mut self, text: &str, plain: bool, place: Place) -> Result<(), TemplateError> {
        if plain && matches!(scalar::resolve(text), Ok(Node::Null)) {
            return Err(syntax("a key must be a text, this is nothing", place));
        }
        let Some(Collection {
            content: Content::Map(map),
            ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        map.next = Some(if plain && text == "<<" {
            Key::Merge
        } else {
            let name: Rc<str> = text.into();
            if !map.keys.insert(Rc::clone(&name)) {
                return Err(TemplateError::new(
                    Problem::DuplicateKey { key: short(text) },
                    Some(place),
                ));
            }
            Key::Name(Located {
                value: name,
                place: Some(place),
            })
        });
        Ok(())
    }

    fn begin(
        &mut self,
        content: Content,
        anchor: usize,
        place: Place,
    ) -> Result<(), TemplateError> {
        if self.expects_key() {
            return Err(syntax("a key must be a text", place));
        }
        let size_before = self.size;
        self.grow(1, place)?;
        self.check_depth(1, place)?;
        self.open.push(Collection {
            place,
            anchor,
            size_before,
            height: 0,
            content,
        });
        Ok(())
    }

    fn check_depth(&self, more: usize, place: Place) -> Result<(), TemplateError> {
        if self.open.len() + more > MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} lists and maps lie within one another");
            return Err(syntax(message, place));
        }
        Ok(())
    }

    fn end(&mut self, place: Place) -> Result<(), TemplateError> {
        let Some(collection) = self.open.pop() else {
            return Ok(());
        };
        let value = match collection.content {
            Content::List(items) => Node::List(Rc::new(items)),
            Content::Map(map) => Node::Map(Rc::new(map.close())),
        };
        let node = Located {
            value,
            place: Some(collection.place),
        };
        let size = self.size - collection.size_before;
        let height = collection.height + 1;
        self.finish(Finished { node, size, height }, collection.anchor, place)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), TemplateError> {
        let Some(mut finished) = self.anchors.get(&anchor).cloned() else {
            return Err(syntax("an alias stands within what it refers to", place));
        };
        self.grow(finished.size, place)?;
        self.check_depth(finished.height, place)?;
        if self.expects_key() {
            return match &finished.node.value {
                Node::Text(text) => self.key(&Rc::clone(text), false, place),
                other => Err(syntax(
                    format!("a key must be a text, this is {}", other.kind()),
                    place,
                )),
            };
        }
        finished.node.place = Some(place);
        self.finish(finished, 0, place)
    }

    /// Puts a finished node where it belongs: into what is open, or at the root.
    fn finish(
        &mut self,
        finished: Finished,
        anchor: usize,
        place: Place,
    ) -> Result<(), TemplateError> {
        if anchor != 0 {
            self.anchors.insert(anchor, finished.clone());
        }
        let Some(collection) = self.open.last_mut() else {
            self.root = Some(finished.node);
            return Ok(());
        };
        collection.height = collection.height.max(finished.height);
        match &mut collection.content {
            Content::List(items) => items.push(finished.node),
            Content::Map(map) => match map.next.take() {
                Some(Key::Name(key)) => map.entries.push((key, finished.node)),
                Some(Key::Merge) => map.merge(&finished.node, place)?,
                None => {}
            },
        }
        Ok(())
    }
}

impl OpenMap {
    fn merge(&mut self, node: &Located<Node>, place: Place) -> Result<(), TemplateError> {
        let wrong = || syntax("`<<` takes a map, or a list of maps", place);
        match &node.value {
            Node::Map(entries) => self.merged.extend(entries.iter().cloned()),
            Node::List(items) => {
                for item in items.iter() {
                    let Node::Map(entries) = &item.value else {
                        return Err(wrong());
                    };
                    self.merged.extend(entries.iter().cloned());
                }
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// Its own entries, then merged ones of other names; of those the first counts.
    fn close(mut self) -> Vec<Entry> {
        for entry in self.merged {
            if self.keys.insert(Rc::clone(&entry.0.value)) {
                self.entries.push(entry);
            }
        }
        self.entries
    }
}

/// Whether a tag says that a scalar is a text. Any other tag asks for something that nobody would do.
fn is_text(tag: Option<&Tag>, place: Place) -> Result<bool, TemplateError> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema_tag("str") => Ok(true),
        other => refuse_tag(other, place).map(|()| false),
    }
}

fn refuse_tag(tag: Option<&Tag>, place: Place) -> Result<(), TemplateError> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag("str") => Err(TemplateError::new(
            Problem::Unsupported {
                what: format!("the tag {:?}", short(&tag.original())),
                advice: "write the value itself",
            },
            Some(place),
        )),
        _ => Ok(()),
    }
}
