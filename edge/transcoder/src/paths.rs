//! Path templates and the tree that finds the route of a path.

use std::{borrow::Cow, collections::HashMap};

use http::Method;
use percent_encoding::percent_decode_str;

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    /// One segment, bound to the field of this name.
    Param(String),
    /// One segment with this text at its end, bound without it to the field of this name.
    Suffixed(String, String),
    /// Everything that is left, bound to the field of this name.
    Rest(String),
}

/// Parses `/a/{b}/{c=**}`, the part of `google.api.http` that REST routes here use, and `/a/{b}.md` beside it.
pub(crate) fn parse(template: &str) -> Result<Vec<Segment>, String> {
    let Some(rest) = template.strip_prefix('/') else {
        return Err("a path must start with `/`".to_owned());
    };
    let mut segments = Vec::new();
    for part in rest.split('/') {
        if matches!(segments.last(), Some(Segment::Rest(_))) {
            return Err("`**` must be the last segment".to_owned());
        }
        if let Some((name, suffix)) = part.strip_prefix('{').and_then(|inner| inner.split_once("}."))
            && !name.is_empty()
            && !suffix.is_empty()
            && !part[1..].contains(['{', '*'])
            && !suffix.contains('}')
        {
            segments.push(Segment::Suffixed(name.to_owned(), format!(".{suffix}")));
            continue;
        }
        let variable = part.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        let segment = match variable.map(|inner| inner.split_once('=').unwrap_or((inner, "*"))) {
            Some((name, _)) if name.is_empty() || name.contains(['.', '{', '}']) => {
                return Err(format!("`{part}` does not name a top-level field"));
            }
            Some((name, "*")) => Segment::Param(name.to_owned()),
            Some((name, "**")) => Segment::Rest(name.to_owned()),
            Some(_) => return Err(format!("`{part}`: only `*` and `**` are supported as patterns")),
            None if part.contains(['{', '}', '*']) => {
                return Err(format!("`{part}`: a variable must be a whole segment"));
            }
            None => Segment::Literal(part.to_owned()),
        };
        segments.push(segment);
    }
    Ok(segments)
}

/// Routes by path. Literal segments win over variables with a suffix, those over other variables, and these over `**`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    literals: HashMap<String, Tree>,
    suffixed: Vec<(String, Tree)>,
    param: Option<Box<Tree>>,
    rest: Vec<(Method, usize)>,
    here: Vec<(Method, usize)>,
}

/// A path that matched: the routes of its node and the decoded variables.
pub(crate) struct Match<'t> {
    pub methods: &'t [(Method, usize)],
    pub values: Vec<String>,
}

impl Tree {
    /// Adds a route; answers the one that already serves the same method and path.
    pub(crate) fn insert(&mut self, segments: &[Segment], method: &Method, route: usize) -> Result<(), usize> {
        let mut node = self;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Suffixed(_, suffix) => {
                    let at = node.suffixed.iter().position(|(known, _)| known == suffix);
                    let at = at.unwrap_or_else(|| {
                        node.suffixed.push((suffix.clone(), Self::default()));
                        node.suffixed.len() - 1
                    });
                    &mut node.suffixed[at].1
                }
                Segment::Param(_) => node.param.get_or_insert_default(),
                Segment::Rest(_) => return Self::add(&mut node.rest, method, route),
            };
        }
        Self::add(&mut node.here, method, route)
    }

    fn add(methods: &mut Vec<(Method, usize)>, method: &Method, route: usize) -> Result<(), usize> {
        if let Some((_, other)) = methods.iter().find(|(existing, _)| existing == method) {
            return Err(*other);
        }
        methods.push((method.clone(), route));
        Ok(())
    }

    /// Calls `accept` with every match of a raw path, best first, until it answers true.
    pub(crate) fn find<'t>(&'t self, path: &str, accept: &mut dyn FnMut(Match<'t>) -> bool) {
        let Some(path) = path.strip_prefix('/') else { return };
        let segments: Vec<Cow<'_, str>> = path
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy())
            .collect();
        self.walk(&segments, &mut Vec::new(), accept);
    }

    fn walk<'t>(
        &'t self,
        segments: &[Cow<'_, str>],
        values: &mut Vec<String>,
        accept: &mut dyn FnMut(Match<'t>) -> bool,
    ) -> bool {
        let Some((first, rest)) = segments.split_first() else {
            return !self.here.is_empty()
                && accept(Match {
                    methods: &self.here,
                    values: values.clone(),
                });
        };
        if let Some(child) = self.literals.get(&**first)
            && child.walk(rest, values, accept)
        {
            return true;
        }
        for (suffix, child) in &self.suffixed {
            if let Some(stem) = first.strip_suffix(&**suffix).filter(|stem| !stem.is_empty()) {
                values.push(stem.to_owned());
                if child.walk(rest, values, accept) {
                    return true;
                }
                values.pop();
            }
        }
        if !first.is_empty()
            && let Some(child) = &self.param
        {
            values.push(first.clone().into_owned());
            if child.walk(rest, values, accept) {
                return true;
            }
            values.pop();
        }
        if self.rest.is_empty() || first.is_empty() {
            return false;
        }
        values.push(segments.join("/"));
        let found = accept(Match {
            methods: &self.rest,
            values: values.clone(),
        });
        values.pop();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(templates: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for (number, template) in templates.iter().enumerate() {
            let segments = parse(template).unwrap_or_else(|wrong| panic!("{template}: {wrong}"));
            tree.insert(&segments, &Method::GET, number).expect("a new route");
        }
        tree
    }

    fn found(tree: &Tree, path: &str) -> Option<(usize, Vec<String>)> {
        let mut found = None;
        tree.find(path, &mut |hit| {
            found = Some((hit.methods[0].1, hit.values));
            true
        });
        found
    }

    #[test]
    fn a_text_at_the_end_of_a_variable_wins_over_the_bare_variable() {
        let tree = tree(&[
            "/souls/{handle}/{slug}",
            "/souls/{handle}/{slug}.md",
            "/souls/{handle}/all.md",
        ]);
        let values = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (path, expected) in [
            ("/souls/a/b", (0, values(&["a", "b"]))),
            ("/souls/a/b.md", (1, values(&["a", "b"]))),
            ("/souls/a/b.c.md", (1, values(&["a", "b.c"]))),
            ("/souls/a/.md", (0, values(&["a", ".md"]))),
            ("/souls/a/all.md", (2, values(&["a"]))),
        ] {
            assert_eq!(found(&tree, path), Some(expected), "{path}");
        }
        for wrong in ["/{a}.", "/{}.md", "/{a}.{b}", "/{a}.*", "/x{a}.md"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
