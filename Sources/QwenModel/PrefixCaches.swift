// Keys and values of sequences that are done, for the next ones that begin alike: the turns of a dialogue, or questions
// behind the same system message.

/// Caches of past sequences, the latest first.
struct PrefixCaches {
  private struct Entry {
    let tokens: [Int32]
    let adapter: Int?
    let cache: KVCache
  }

  private var entries: [Entry] = []
  /// The most tokens that all entries may have, and have memory for, together.
  let maximumTokenCount: Int
  /// Prefixes shorter than this are computed again: keeping their place costs more.
  private static let minimumLength = 16

  init(maximumTokenCount: Int) { self.maximumTokenCount = maximumTokenCount }

  /// A cache of the beginning of `prompt` under `adapter`, without its last token, whose logits are wanted; nil where none
  /// is long enough.
  mutating func take(_ prompt: [Int32], adapter: Int?) -> KVCache? {
    var (best, length) = (-1, PrefixCaches.minimumLength - 1)
    for (index, entry) in entries.enumerated() where entry.adapter == adapter {
      let common = zip(entry.tokens, prompt.dropLast()).prefix { $0 == $1 }.count
      if common > length { (best, length) = (index, common) }
    }
    guard best >= 0 else { return nil }
    let entry = entries.remove(at: best)
    // What goes on elsewhere is left for others of the same beginning.
    if length * 2 < entry.tokens.count { entries.insert(entry, at: 0) }
    let cache = length * 2 < entry.tokens.count ? entry.cache.forked() : entry.cache
    cache.truncate(to: length)
    return cache
  }

  /// Keeps the cache of a sequence that has ended, in no more memory than its tokens need.
  mutating func add(_ tokens: [Int32], adapter: Int?, _ cache: KVCache) {
    let known = Array(tokens.prefix(cache.count))
    guard known.count >= PrefixCaches.minimumLength, known.count <= maximumTokenCount else {
      return
    }
    entries.removeAll { entry in
      entry.adapter == adapter && entry.tokens.count <= known.count
        && known.starts(with: entry.tokens)
    }
    // Room first: at no time there is more than was promised, but for this one.
    var total = entries.reduce(known.count) { $0 + $1.cache.capacity }
    while total > maximumTokenCount, let last = entries.popLast() { total -= last.cache.capacity }
    cache.trim()
    entries.insert(Entry(tokens: known, adapter: adapter, cache: cache), at: 0)
  }
}
