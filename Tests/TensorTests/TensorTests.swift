// The tensor value itself: shapes, views, reading back, and what must trap.

import Glibc
import Synchronization
import Tensor
import Testing

@Suite("Tensor")
struct TensorTests {
  @Test("shapes count rows, columns and strides")
  func shapes() {
    let shape: Shape = [2, 3, 5]
    #expect(shape.count == 30 && shape.rowCount == 6 && shape.columnCount == 5)
    #expect(shape.strides == [15, 5, 1] && shape[-1] == 5 && shape.description == "[2, 3, 5]")
    #expect(Shape([]).count == 1 && Shape([]).columnCount == 1 && Shape([]).rowCount == 1)
    #expect(([0, 4] as Shape).count == 0 && ([7] as Shape).rowCount == 1)
    #expect(
      shape.replacingFirst(with: 9) == [9, 3, 5] && shape.replacingLast(with: 1) == [2, 3, 1])
    #expect(([2, 3] as Shape) != [2, 3, 1])
  }

  @Test("values come back as they were put in, for every type")
  func roundTrips() throws {
    #expect(try Tensor([1.5, -2] as [Float]).array(of: Float.self) == [1.5, -2])
    #expect(try Tensor([1e300, -2]).array(of: Double.self) == [1e300, -2])
    #expect(try Tensor([Int32.max, .min]).array(of: Int32.self) == [.max, .min])
    #expect(try Tensor([0, 255] as [UInt8]).array(of: UInt8.self) == [0, 255])
    #expect(try Tensor([BFloat16(1.5)]).array(of: BFloat16.self) == [BFloat16(1.5)])
    #expect(try Tensor([] as [Float]).array(of: Float.self) == [])
    #expect(try Tensor([Int32(7)], shape: []).item() == 7)
    #expect(try Tensor([3, 4] as [UInt8]).doubles() == [3, 4])
  }

  @Test("reshapes and windows share bytes, moves to the same device too")
  func views() throws {
    let x = Tensor((0..<6).map { Float($0) }, shape: [2, 3])
    #expect(x.reshaped([6]).operand.address == x.operand.address)
    #expect(x.rows(1..<2).operand.address == x.operand.address + 12)
    #expect(try x.moved(to: .cpu).operand.address == x.operand.address)
    #expect(x.cast(to: .float32).operand.address == x.operand.address)
    #expect(x.copied().operand.address != x.operand.address)
    #expect(try x.transposed().array(of: Float.self) == [0, 3, 1, 4, 2, 5])
  }

  @Test("argmax, cross-entropy and sums propagate NaN instead of hiding it")
  func notANumber() throws {
    let x = Tensor([1, .nan, 2, 0, 1, 2] as [Float], shape: [2, 3])
    #expect(try x.sum().item().isNaN)
    #expect(try x.squaredNorm().item().isNaN)
    #expect(try x.sumOfRows().doubles()[1].isNaN)
    let result = Tensor.linearCrossEntropy(
      hidden: x, weight: Tensor.ones([4, 3]), targets: Tensor([0, 1] as [Int32]), scale: .ones([1]),
      needsHidden: true, needsWeight: true)
    let nll = try result.nll.doubles()
    #expect(nll[0].isNaN && nll[1].isFinite)
  }

  @Test("results do not depend on the number of worker threads")
  func workerCount() async {
    // In a process of its own: the count is one for the process.
    await #expect(processExitsWith: .success) {
      func bits(_ workers: Int) throws -> [[UInt64]] {
        Workers.count = workers
        return try WorkerCases.results().map { try $0.doubles().map(\.bitPattern) }
      }
      let (one, two, three) = (try bits(1), try bits(2), try bits(3))
      precondition(one == two && one == three && one.count > 30)
    }
  }

  @Test("threads that go through parts of their own and help with the others' take every task once")
  func streamParts() {
    for (tasks, workers) in [(0, 3), (1, 2), (5, 3), (64, 2), (1001, 7)] {
      let parts = StreamParts(tasks, workers: workers)
      // The first thread stops half-way, the last one does what is left, its own part from the front.
      var taken: [Int] = []
      for _ in 0..<tasks / workers / 2 { taken += parts.take(for: 0).map { [$0] } ?? [] }
      #expect(taken == Array(0..<tasks / workers / 2))
      while let task = parts.take(for: workers - 1) { taken.append(task) }
      #expect(taken.sorted() == Array(0..<tasks))
      #expect((0..<workers).allSatisfy { parts.take(for: $0) == nil })
    }
    for _ in 0..<20 {
      let counts = (0..<4000).map { _ in Counter() }
      parallelStreams(counts.count * 3, grain: 3) { range in
        for index in range where index % 3 == 0 { counts[index / 3].add() }
      }
      #expect(counts.allSatisfy { $0.value == 1 })
    }
  }

  @Test("memory that runs out ends the process as it was told to")
  func exhaustion() async {
    await #expect(processExitsWith: .exitCode(7)) {
      MemoryExhaustion.setEnding { byteCount in _exit(byteCount == 1 << 48 ? 7 : 8) }
      _ = Tensor.zeros([1 << 20, 1 << 26])
    }
    await #expect(processExitsWith: .failure) { _ = Tensor.zeros([1 << 20, 1 << 26]) }
  }

  @Test("an index outside a table traps")
  func indexTraps() async {
    await #expect(processExitsWith: .failure) {
      _ = Tensor.zeros([3, 2]).gatheredRows(Tensor([Int32(3)]))
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.zeros([3, 2]).gatheredRows(Tensor([Int32(-1)]))
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.linearCrossEntropy(
        hidden: .zeros([1, 2]), weight: .zeros([3, 2]), targets: Tensor([Int32(3)]),
        scale: .ones([1]),
        needsHidden: false, needsWeight: false)
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.zeros([1, 1, 2]).rotated(
        cos: .zeros([4, 1]), sin: .zeros([4, 1]), positions: Tensor([Int32(4)]))
    }
  }

  @Test("operands that do not fit trap: shapes")
  func shapeTraps() async {
    await #expect(processExitsWith: .failure) { _ = Tensor.zeros([3]) + Tensor.zeros([4]) }
    await #expect(processExitsWith: .failure) { _ = Tensor([1, 2] as [Float], shape: [3]) }
    await #expect(processExitsWith: .failure) { _ = Tensor.zeros([6]).reshaped([5]) }
    await #expect(processExitsWith: .failure) { _ = Tensor.zeros([6]).rows(3..<7) }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.matmul(.zeros([2, 3]), .zeros([2, 3]))
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.attention(
        q: .zeros([2, 3, 4]), k: .zeros([2, 2, 4]), v: .zeros([2, 2, 4]), scale: 1, documents: nil,
        keyOffset: 0)
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.attention(
        q: .zeros([2, 2, 4]), k: .zeros([2, 2, 4]), v: .zeros([2, 2, 4]), scale: 1,
        documents: [0, 3], keyOffset: 0)
    }
    await #expect(processExitsWith: .failure) { _ = Shape([1, 1, 1, 1, 1, 1, 1, 1, 1]) }
    await #expect(processExitsWith: .failure) { _ = Shape([-1]) }
    await #expect(processExitsWith: .failure) { _ = try Tensor.zeros([2]).item() }
  }

  @Test("operands that do not fit trap: element types")
  func typeTraps() async {
    await #expect(processExitsWith: .failure) {
      _ = Tensor.zeros([3]) + Tensor.zeros([3], dtype: .float64)
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.matmul(.zeros([2, 2]), .zeros([2, 2], dtype: .bfloat16))
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.zeros([2, 2], dtype: .bfloat16).rmsNorm(weight: .zeros([2]), epsilon: 1)
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.swiGLU(gate: .zeros([2]), up: .zeros([2], dtype: .bfloat16))
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.zeros([1, 1, 2]).rotated(
        cos: .zeros([4, 1]), sin: .zeros([4, 1]), positions: .zeros([1]))
    }
    await #expect(processExitsWith: .failure) {
      _ = Tensor.attention(
        q: .zeros([1, 1, 4]), k: .zeros([1, 1, 4], dtype: .float64), v: .zeros([1, 1, 4]), scale: 1,
        documents: nil, keyOffset: 0)
    }
    await #expect(processExitsWith: .failure) { _ = try Tensor.zeros([2]).array(of: Double.self) }
    await #expect(processExitsWith: .failure) { _ = Tensor.zeros([2], dtype: .int32).sigmoid() }
  }
}

/// A number that threads add to.
private final class Counter: Sendable {
  private let count = Mutex(0)
  var value: Int { count.withLock { $0 } }
  func add() { count.withLock { $0 += 1 } }
}
