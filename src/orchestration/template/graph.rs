//! What depends on what, by position.

/// The dependencies of a template's steps, by the steps' positions. Has no cycle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    parents: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
    order: Vec<usize>,
    levels: Vec<usize>,
}

impl Graph {
    /// Makes a graph from each step's parents, or returns cycles, no two of them with a step in common:
    /// positions along each, the first one again at the end. Linear in steps and dependencies (Kahn's algorithm).
    pub(super) fn new(parents: Vec<Vec<usize>>) -> Result<Self, Vec<Vec<usize>>> {
        let count = parents.len();
        let mut children = vec![Vec::new(); count];
        for (child, its_parents) in parents.iter().enumerate() {
            for &parent in its_parents {
                children[parent].push(child);
            }
        }
        let mut unmet: Vec<usize> = parents.iter().map(Vec::len).collect();
        let mut order: Vec<usize> = (0..count).filter(|&step| unmet[step] == 0).collect();
        let mut levels = vec![0; count];
        let mut next = 0;
        while let Some(&step) = order.get(next) {
            next += 1;
            for &child in &children[step] {
                levels[child] = levels[child].max(levels[step] + 1);
                unmet[child] -= 1;
                if unmet[child] == 0 {
                    order.push(child);
                }
            }
        }
        if order.len() < count {
            return Err(cycles(&parents, &unmet));
        }
        Ok(Self {
            parents,
            children,
            order,
            levels,
        })
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// The steps that come before a step, in the order it names them.
    ///
    /// # Panics
    ///
    /// If there is no step at this position.
    pub fn parents(&self, step: usize) -> &[usize] {
        &self.parents[step]
    }

    /// The steps that wait for a step, in template order.
    ///
    /// # Panics
    ///
    /// If there is no step at this position.
    pub fn children(&self, step: usize) -> &[usize] {
        &self.children[step]
    }

    /// The length of the longest path that leads to a step: 0 for a step without dependencies.
    ///
    /// # Panics
    ///
    /// If there is no step at this position.
    pub fn level(&self, step: usize) -> usize {
        self.levels[step]
    }

    /// How many levels there are.
    pub fn depth(&self) -> usize {
        self.levels.iter().max().map_or(0, |deepest| deepest + 1)
    }

    /// The steps without dependencies, in template order.
    pub fn roots(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).filter(|&step| self.parents[step].is_empty())
    }

    /// Every step, parents before children.
    pub fn topological_order(&self) -> &[usize] {
        &self.order
    }
}

/// Walks from parent to parent among the steps that were never reached: each of them has a parent that was not
/// reached either, so a walk must come to a step that was seen. If it is one of its own, that is a cycle.
fn cycles(parents: &[Vec<usize>], unmet: &[usize]) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    // Which walk saw a step, and when.
    let mut seen = vec![None; parents.len()];
    for start in (0..parents.len()).filter(|&step| unmet[step] > 0) {
        let mut walk = Vec::new();
        let mut next = Some(start);
        while let Some(step) = next {
            match seen[step] {
                None => {
                    seen[step] = Some((start, walk.len()));
                    walk.push(step);
                    next = parents[step]
                        .iter()
                        .copied()
                        .find(|&parent| unmet[parent] > 0);
                }
                Some((by, at)) => {
                    if by == start {
                        let mut path = walk.split_off(at);
                        path.push(step);
                        // Walked from child to parent; told from parent to child.
                        path.reverse();
                        found.push(path);
                    }
                    next = None;
                }
            }
        }
    }
    found
}
