//! Which row of a small table each row of a large one belongs to: edges to their receivers and
//! senders, atoms to their graphs and elements.

use std::sync::Arc;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};

/// E rows in N groups, on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostGrouping {
    /// Group of each row, `[E]`.
    pub group_of: Vec<u32>,
    /// First row of each group in `order`, and E, `[N + 1]`.
    pub offsets: Vec<u32>,
    /// Rows by group, in each group ascending, `[E]`; `None` where that is the order they are in.
    pub order: Option<Vec<u32>>,
}

impl HostGrouping {
    /// Groups rows.
    ///
    /// # Panics
    /// If a group is not below `groups`, or there are 2^31 rows or more.
    pub fn new(group_of: Vec<u32>, groups: usize) -> Self {
        assert!(group_of.len() < 1 << 31, "HostGrouping: {} rows, expected fewer than 2^31", group_of.len());
        let mut offsets = vec![0; groups + 1];
        for &group in &group_of {
            assert!((group as usize) < groups, "HostGrouping: group {group} of {groups}");
            offsets[group as usize + 1] += 1;
        }
        for k in 0..groups {
            offsets[k + 1] += offsets[k];
        }
        let order = (!group_of.is_sorted()).then(|| {
            let mut next = offsets.clone();
            let mut order = vec![0; group_of.len()];
            for (row, &group) in group_of.iter().enumerate() {
                let place = &mut next[group as usize];
                order[*place as usize] = row as u32;
                *place += 1;
            }
            order
        });
        Self { group_of, offsets, order }
    }

    /// Number of groups, N.
    pub fn groups(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of rows, E.
    pub fn rows(&self) -> usize {
        self.group_of.len()
    }

    /// The rows of a group, ascending.
    pub fn rows_of(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        let range = self.offsets[group] as usize..self.offsets[group + 1] as usize;
        range.map(|k| self.order.as_ref().map_or(k, |order| order[k] as usize))
    }
}

/// The same on the host and on a device.
#[derive(Debug, Clone)]
pub struct Grouping<B: Backend> {
    /// Group of each row, `[E]`.
    pub group_of: Tensor<B, 1, Int>,
    /// First row of each group in `order`, and E, `[N + 1]`.
    pub offsets: Tensor<B, 1, Int>,
    /// Rows by group, `[E]`; `None` where that is the order they are in.
    pub order: Option<Tensor<B, 1, Int>>,
    /// On the host.
    pub host: Arc<HostGrouping>,
}

impl<B: Backend> Grouping<B> {
    /// Copies a grouping to a device.
    pub fn new(host: HostGrouping, device: &B::Device) -> Self {
        let integers = |values: &[u32]| {
            let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
            let length = values.len();
            Tensor::from_data(TensorData::new(values, [length]), device)
        };
        Self {
            group_of: integers(&host.group_of),
            offsets: integers(&host.offsets),
            order: host.order.as_deref().map(integers),
            host: Arc::new(host),
        }
    }

    /// Number of groups, N.
    pub fn groups(&self) -> usize {
        self.offsets.dims()[0] - 1
    }

    /// Number of rows, E.
    pub fn rows(&self) -> usize {
        self.group_of.dims()[0]
    }
}

impl<A: AutodiffBackend> Grouping<A> {
    /// The same without autodiff.
    pub fn inner(&self) -> Grouping<A::InnerBackend> {
        Grouping {
            group_of: self.group_of.clone().inner(),
            offsets: self.offsets.clone().inner(),
            order: self.order.clone().map(Tensor::inner),
            host: self.host.clone(),
        }
    }

    /// The same under autodiff.
    pub fn from_inner(grouping: Grouping<A::InnerBackend>) -> Self {
        Self {
            group_of: Tensor::from_inner(grouping.group_of),
            offsets: Tensor::from_inner(grouping.offsets),
            order: grouping.order.map(Tensor::from_inner),
            host: grouping.host,
        }
    }
}

/// Who receives from whom, on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EdgeList {
    /// Number of nodes, N.
    pub nodes: usize,
    /// Receiver of each edge, sorted, `[E]`.
    pub receivers: Vec<u32>,
    /// Sender of each edge, `[E]`.
    pub senders: Vec<u32>,
}

/// Edges grouped by their receivers, in whose order they are, and by their senders.
#[derive(Debug, Clone)]
pub struct EdgeIndex<B: Backend> {
    /// By receiver.
    pub receivers: Grouping<B>,
    /// By sender.
    pub senders: Grouping<B>,
}

impl<B: Backend> EdgeIndex<B> {
    /// Copies edges to a device.
    ///
    /// # Panics
    /// If receivers are not sorted, there is not one sender for each, or an index is not below
    /// `nodes`.
    pub fn new(edges: EdgeList, device: &B::Device) -> Self {
        let EdgeList { nodes, receivers, senders } = edges;
        assert_eq!(receivers.len(), senders.len(), "EdgeIndex: receivers and senders");
        assert!(receivers.is_sorted(), "EdgeIndex: receivers are not sorted");
        let grouping = |of| Grouping::new(HostGrouping::new(of, nodes), device);
        Self { receivers: grouping(receivers), senders: grouping(senders) }
    }

    /// Number of nodes, N.
    pub fn nodes(&self) -> usize {
        self.receivers.groups()
    }

    /// Number of edges, E.
    pub fn len(&self) -> usize {
        self.receivers.rows()
    }

    /// Whether there are no edges.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<A: AutodiffBackend> EdgeIndex<A> {
    /// The same without autodiff.
    pub fn inner(&self) -> EdgeIndex<A::InnerBackend> {
        EdgeIndex { receivers: self.receivers.inner(), senders: self.senders.inner() }
    }

    /// The same under autodiff.
    pub fn from_inner(edges: EdgeIndex<A::InnerBackend>) -> Self {
        Self { receivers: Grouping::from_inner(edges.receivers), senders: Grouping::from_inner(edges.senders) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_group() {
        let grouping = HostGrouping::new(vec![2, 0, 2, 3, 0], 5);
        assert_eq!(grouping.offsets, [0, 2, 2, 4, 5, 5]);
        assert_eq!(grouping.order.as_deref(), Some([1, 4, 0, 2, 3].as_slice()));
        assert_eq!(grouping.rows_of(2).collect::<Vec<_>>(), [0, 2]);
        let sorted = HostGrouping::new(vec![0, 0, 3], 4);
        assert_eq!((sorted.order.as_ref(), sorted.rows_of(3).collect::<Vec<_>>()), (None, vec![2]));
        assert_eq!(HostGrouping::new(Vec::new(), 0).offsets, [0]);
    }
}
