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
    /// Makes a graph from each step's parents, or returns a cycle: positions along it, the first one again at
    /// the end. Linear in steps and dependencies (Kahn's algorithm).
    pub(super) fn new(parents: Vec<Vec<usize>>) -> Result<Self, Vec<usize>> {
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
            return Err(cycle(&parents, &unmet));
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

    /// Every step, parents before children.
    pub fn topological_order(&self) -> &[usize] {
        &self.order
    }
}

/// Walks from parent to parent among the steps that were never reached: each of them has a parent that was not
/// reached either, so the walk must come back to a step it has seen.
fn cycle(parents: &[Vec<usize>], unmet: &[usize]) -> Vec<usize> {
    let Some(mut step) = unmet.iter().position(|&count| count > 0) else {
        return Vec::new();
    };
    let mut seen_at = vec![None; parents.len()];
    let mut walk = Vec::new();
    loop {
        if let Some(start) = seen_at[step] {
            let mut path: Vec<usize> = walk.split_off(start);
            path.push(step);
            // Walked from child to parent; told from parent to child.
            path.reverse();
            return path;
        }
        seen_at[step] = Some(walk.len());
        walk.push(step);
        match parents[step].iter().find(|&&parent| unmet[parent] > 0) {
            Some(&parent) => step = parent,
            None => return walk,
        }
    }
}
