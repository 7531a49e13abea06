// Finding and splitting in strings by bytes, in linear time whatever the strings are.

extension Text {
  /// The first place of `needle` at or after `start` that ends by `end`; nil where there is none.
  func find(_ needle: [UInt8], from start: Int = 0, to end: Int? = nil) -> Int? {
    let end = min(end ?? bytes.count, bytes.count)
    guard start >= 0, start + needle.count <= end else { return nil }
    guard let first = needle.first else { return start }
    if needle.count > 32 { return findLong(needle, start, end) }
    let last = end - needle.count
    var i = start
    while i <= last {
      if bytes[i] == first {
        var j = 1
        while j < needle.count, bytes[i + j] == needle[j] { j += 1 }
        if j == needle.count { return i }
      }
      i += 1
    }
    return nil
  }

  /// Knuth, Morris and Pratt: no input makes it quadratic.
  private func findLong(_ needle: [UInt8], _ start: Int, _ end: Int) -> Int? {
    var table = [Int](repeating: 0, count: needle.count)
    var k = 0
    for i in 1..<needle.count {
      while k > 0, needle[i] != needle[k] { k = table[k - 1] }
      if needle[i] == needle[k] { k += 1 }
      table[i] = k
    }
    k = 0
    for i in start..<end {
      while k > 0, bytes[i] != needle[k] { k = table[k - 1] }
      if bytes[i] == needle[k] { k += 1 }
      if k == needle.count { return i - k + 1 }
    }
    return nil
  }

  /// All places of a non-empty `needle` that do not overlap, at most `limit`.
  func places(of needle: [UInt8], limit: Int = .max) -> [Int] {
    var result: [Int] = []
    var position = 0
    while result.count < limit, let place = find(needle, from: position) {
      result.append(place)
      position = place + needle.count
    }
    return result
  }

  /// Like `places`, from the end backwards; in order of place.
  func lastPlaces(of needle: [UInt8], limit: Int) -> [Int] {
    let reversedText = Text(bytes.reversed())
    let reversedNeedle = Array(needle.reversed())
    return reversedText.places(of: reversedNeedle, limit: limit)
      .map { bytes.count - $0 - needle.count }.reversed()
  }

  /// The pieces between `places` of a separator of `width` bytes.
  func pieces(at places: [Int], width: Int) -> [Text] {
    var result: [Text] = []
    result.reserveCapacity(places.count + 1)
    var start = 0
    for place in places {
      result.append(slice(start, place))
      start = place + width
    }
    result.append(slice(start, bytes.count))
    return result
  }

  /// `str.split()` at whitespace, at most `limit` times, from the left.
  func words(limit: Int = .max) -> [Text] {
    var result: [Text] = []
    var offset = 0
    while true {
      offset = skipSpace(from: offset)
      guard offset < bytes.count else { return result }
      if result.count == limit {
        result.append(slice(offset, bytes.count))
        return result
      }
      let start = offset
      while offset < bytes.count {
        let (scalar, next) = scalar(at: offset)
        if scalar.isPythonSpace { break }
        offset = next
      }
      result.append(slice(start, offset))
    }
  }

  /// `str.rsplit()` at whitespace, at most `limit` times, from the right.
  func lastWords(limit: Int) -> [Text] {
    var result: [Text] = []
    var end = bytes.count
    while true {
      while end > 0 {
        let (scalar, start) = scalar(before: end)
        guard scalar.isPythonSpace else { break }
        end = start
      }
      guard end > 0 else { break }
      if result.count == limit {
        result.append(slice(0, end))
        break
      }
      let stop = end
      while end > 0 {
        let (scalar, start) = scalar(before: end)
        if scalar.isPythonSpace { break }
        end = start
      }
      result.append(slice(end, stop))
    }
    return result.reversed()
  }

  private func skipSpace(from start: Int) -> Int {
    var offset = start
    while offset < bytes.count {
      let (scalar, next) = scalar(at: offset)
      guard scalar.isPythonSpace else { break }
      offset = next
    }
    return offset
  }

  /// `str.replace`; an empty `old` matches between all characters.
  func replacing(_ old: [UInt8], with new: Text, limit: Int) -> Text {
    var builder = TextBuilder()
    var start = 0
    if old.isEmpty {
      var left = limit
      for offset in scalarOffsets {
        builder.append(self, from: start, to: offset)
        start = offset
        if left == 0 { break }
        builder.append(new)
        left -= 1
      }
      builder.append(self, from: start, to: bytes.count)
      return builder.text
    }
    let places = places(of: old, limit: limit)
    if places.isEmpty { return self }
    for place in places {
      builder.append(self, from: start, to: place)
      builder.append(new)
      start = place + old.count
    }
    builder.append(self, from: start, to: bytes.count)
    return builder.text
  }
}
