// Work on many rows ends at the first that fails, whatever the number of threads.

import OrderedJSON
import SFT
import Synchronization
import Testing

@Suite("Stopping at the first failure")
struct ParallelPrefixTests {
  private struct Failure: Error, Equatable { let index: Int }

  @Test("the lowest failure counts, with the results before it, and few values behind it are begun")
  func lowest() throws {
    for first in [0, 1, 15, 16, 500, 9_999] {
      let begun = Atomic<Int>(0)
      let (outputs, failure) = parallelPrefix(Array(0..<10_000)) {
        (value: Int) throws(Failure) -> Int in
        begun.add(1, ordering: .relaxed)
        if value >= first { throw Failure(index: value) }
        return 2 * value
      }
      #expect(outputs == (0..<first).map { 2 * $0 })
      #expect(failure == Failure(index: first))
      #expect(begun.load(ordering: .relaxed) < first + 2_000)
    }
    let (all, none) = parallelPrefix(Array(0..<100)) { (value: Int) throws(Failure) in value }
    #expect(all == Array(0..<100) && none == nil)
    #expect(parallelPrefix([Int]()) { (value: Int) throws(Failure) in value }.outputs == [])
  }

  @Test("encoding many conversations stops at the first row that the template refuses")
  func encoding() throws {
    let encoder = try DataTest.encoder(
      "{% if messages[0].content == 'bad' %}{{ raise_exception('no') }}{% endif %}"
        + DataTest.plainTemplate)
    let rows = (1...3000).map { line in
      Conversation(
        messages: [
          ["role": "user", "content": line >= 77 ? "bad" : "good"],
          ["role": "assistant", "content": "a"],
        ], file: "t.jsonl", line: line)
    }
    for _ in 0..<5 {
      let error = #expect(throws: DataError.self) { try encoder.encode(rows) }
      guard case .rendering("t.jsonl", 77, _)? = error else {
        Issue.record("\(String(describing: error))")
        return
      }
    }
    #expect(try encoder.encode(Array(rows.prefix(76))).map(\.row.line) == Array(1...76))
  }
}
