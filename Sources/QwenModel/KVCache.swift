// Keys and values of the tokens seen so far, for generation.

import Tensor

/// The cached keys and values of one document.
public final class KVCache {
  private var layers: [(keys: Tensor, values: Tensor)?]
  /// Tokens that are in the cache.
  public private(set) var count = 0
  /// Tokens that there is memory for.
  private(set) var capacity: Int
  /// Tokens beyond which nobody expects to go; memory grows by doubling up to there.
  var expectedLimit = Int.max

  /// An empty cache for a model of `layers` layers that expects up to `capacity` tokens (it grows beyond).
  public init(layers: Int, capacity: Int) {
    self.layers = Array(repeating: nil, count: layers)
    self.capacity = max(capacity, 1)
  }

  /// A cache that begins with the same tokens and goes on by itself. Their memory is shared until either one grows.
  func forked() -> KVCache {
    let copy = KVCache(layers: layers.count, capacity: capacity)
    copy.layers = layers
    copy.count = count
    copy.expectedLimit = expectedLimit
    return copy
  }

  /// Forgets all tokens but the first `n`.
  func truncate(to n: Int) {
    precondition(n <= count, "KVCache: cannot keep \(n) of \(count) tokens")
    count = n
  }

  /// Adds keys and values [n, K, D] of a layer behind those that are there, and returns all of them.
  func append(keys: Tensor, values: Tensor, layer: Int) -> (keys: Tensor, values: Tensor) {
    let total = count + keys.shape[0]
    if total > capacity { grow(to: max(total, min(2 * capacity, expectedLimit))) }
    var (cachedKeys, cachedValues) =
      layers[layer].take()
      ?? (empty(like: keys), empty(like: values))
    cachedKeys.replaceRows(from: count, with: keys)
    cachedValues.replaceRows(from: count, with: values)
    layers[layer] = (cachedKeys, cachedValues)
    return (cachedKeys.rows(0..<total), cachedValues.rows(0..<total))
  }

  /// Marks `n` tokens as complete, once all layers have added theirs.
  func advance(by n: Int) { count += n }

  /// Gives back the memory that is kept for tokens yet to come. What is kept for others shares it with nobody afterwards.
  func trim() {
    guard capacity > count else { return }
    capacity = max(count, 1)
    for (index, layer) in layers.enumerated() {
      guard let layer else { continue }
      var (keys, values) = (empty(like: layer.keys), empty(like: layer.values))
      keys.replaceRows(from: 0, with: layer.keys.rows(0..<count))
      values.replaceRows(from: 0, with: layer.values.rows(0..<count))
      layers[index] = (keys, values)
    }
  }

  private func empty(like x: Tensor) -> Tensor {
    Tensor.zeros(x.shape.replacingFirst(with: capacity), like: x)
  }

  private func grow(to newCapacity: Int) {
    capacity = newCapacity
    for (index, layer) in layers.enumerated() {
      guard let layer else { continue }
      var keys = empty(like: layer.keys)
      var values = empty(like: layer.values)
      keys.replaceRows(from: 0, with: layer.keys)
      values.replaceRows(from: 0, with: layer.values)
      layers[index] = (keys, values)
    }
  }
}
