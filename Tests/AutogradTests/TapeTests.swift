// The tape: where gradients go, what is recorded, and misuse that must trap.

import Autograd
import Tensor
import TensorTestSupport
import Testing

@Suite("Tape")
struct TapeTests {
  private static func values(_ shape: Shape, _ index: Int, dtype: DType = .float32) -> Tensor {
    .normal(shape, dtype: dtype, stream: RandomStream(seed: 5, purpose: .test, index: index))
  }

  @Test("gradients accumulate over two tapes and are forgotten on request")
  func accumulation() throws {
    let weight = Parameter(shape: [3, 2])
    weight.value = TapeTests.values([3, 2], 0)
    var expected: [Double] = [Double](repeating: 0, count: 6)
    for pass in 0..<2 {
      let x = TapeTests.values([4, 2], 1 + pass)
      let dy = TapeTests.values([4, 3], 3 + pass)
      let tape = Tape()
      let y = tape.record(LinearMap(hasBias: false), [tape.constant(x), tape.leaf(weight)])
      tape.backward(from: y, seed: dy)
      let product = ReferenceOps.matmul(try HostArray(dy), transposeA: true, try HostArray(x))
      expected = zip(expected, product.elements).map { $0 + $1 }
      let gradient = try #require(weight.gradient)
      #expect(
        Tolerance.of(.float32).violation(
          actual: try HostArray(gradient), expected: HostArray([3, 2], expected)) == nil)
    }
    weight.clearGradient()
    #expect(weight.gradient == nil)
  }

  @Test("a second pass adds to the gradient in place")
  func accumulationInPlace() throws {
    let weight = Parameter(shape: [3, 2])
    weight.value = TapeTests.values([3, 2], 0)
    func pass() {
      let tape = Tape()
      let x = tape.constant(TapeTests.values([4, 2], 1))
      tape.backward(
        from: tape.record(LinearMap(hasBias: false), [x, tape.leaf(weight)]),
        seed: TapeTests.values([4, 3], 2))
    }
    pass()
    let address = weight.gradient?.operand.address
    let once = try #require(weight.gradient).doubles()
    pass()
    #expect(weight.gradient?.operand.address == address)
    #expect(try #require(weight.gradient).doubles() == once.map { 2 * $0 })
  }

  @Test("a parameter used twice on a tape is one leaf and gets the sum")
  func sharedParameter() throws {
    let p = Parameter(shape: [3])
    p.value = Tensor([1, 2, 3] as [Float])
    let tape = Tape()
    let y = tape.leaf(p) * tape.leaf(p) + tape.leaf(p).scaled(by: 4)
    #expect(tape.nodeCount == 4)
    tape.backward(from: y, seed: Tensor.ones([3]))
    #expect(try #require(p.gradient).array(of: Float.self) == [6, 8, 10])
  }

  @Test("a frozen parameter gets no gradient and nothing is recorded for it alone")
  func frozen() throws {
    let weight = Parameter(shape: [3, 2], isTrainable: false)
    weight.value = TapeTests.values([3, 2], 0)
    let bias = Parameter(shape: [3])
    bias.value = Tensor.zeros([3])
    let tape = Tape()
    let x = tape.constant(TapeTests.values([4, 2], 1))
    let plain = tape.record(LinearMap(hasBias: false), [x, tape.leaf(weight)])
    #expect(!plain.needsGradient && tape.nodeCount == 0 && tape.operationNames == [])
    let y = tape.record(LinearMap(hasBias: true), [x, tape.leaf(weight), tape.leaf(bias)])
    tape.backward(from: y, seed: Tensor.ones([4, 3]))
    #expect(weight.gradient == nil)
    #expect(try #require(bias.gradient).array(of: Float.self) == [4, 4, 4])
  }

  @Test("nothing is recorded in inference, and backward does nothing there")
  func inference() {
    let p = Parameter(shape: [2])
    p.value = Tensor.ones([2])
    let tape = Tape(mode: .inference)
    let y = tape.leaf(p) * tape.input(Tensor.ones([2]))
    tape.backward(from: y)
    #expect(tape.nodeCount == 0 && !y.needsGradient && p.gradient == nil)
  }

  @Test("only what the output depends on gets a gradient")
  func dependence() throws {
    let tape = Tape()
    let (a, b) = (tape.input(Tensor.ones([2])), tape.input(Tensor.ones([2])))
    let y = a.scaled(by: 3)
    _ = (y * b).scaled(by: 2)
    tape.backward(from: y, seed: Tensor.ones([2]))
    #expect(try #require(tape.gradient(of: a)).array(of: Float.self) == [3, 3])
    #expect(tape.gradient(of: b) == nil)
  }

  @Test("a scalar needs no seed, and the seed itself is not changed by the walk")
  func seeds() throws {
    let tape = Tape()
    let x = tape.input(Tensor([5] as [Float], shape: []))
    tape.backward(from: x * x)
    #expect(try #require(tape.gradient(of: x)).item() == 10)
    let second = Tape()
    let z = second.input(Tensor([1, 2] as [Float]))
    let seed = Tensor([1, 1] as [Float])
    second.backward(from: z + z, seed: seed)
    #expect(try seed.array(of: Float.self) == [1, 1])
    #expect(try #require(second.gradient(of: z)).array(of: Float.self) == [2, 2])
  }

  @Test("what backward needs is kept until then and freed by it")
  func residualsAreFreed() async {
    await #expect(processExitsWith: .success) {
      let tape = Tape()
      let before = Device.cpu.memory.liveByteCount
      do {
        let x = tape.input(Tensor.ones([1024]))
        let y = x * x
        tape.backward(from: y * y, seed: Tensor.ones([1024]))
      }
      // The gradient of the input is all that is left.
      precondition(Device.cpu.memory.liveByteCount == before + 4096)
      precondition(tape.nodeCount == 0)
    }
  }

  @Test("bfloat16 parameters collect float32 gradients over several passes")
  func bfloat16() throws {
    let table = Parameter(shape: [4, 3])
    table.value = TapeTests.values([4, 3], 0, dtype: .bfloat16)
    let weight = Parameter(shape: [5, 3])
    weight.value = TapeTests.values([5, 3], 1, dtype: .bfloat16)
    for pass in 1...2 {
      let tape = Tape()
      let x = tape.record(EmbeddingLookup(ids: Tensor([1, 3, 1] as [Int32])), [tape.leaf(table)])
      let y = tape.record(LinearMap(hasBias: false), [x, tape.leaf(weight)])
      tape.backward(from: y, seed: Tensor.ones([3, 5], dtype: .bfloat16))
      let (dTable, dWeight) = (try #require(table.gradient), try #require(weight.gradient))
      #expect(dTable.dtype == .float32 && dWeight.dtype == .float32)
      let x1 = ReferenceOps.embedding(try HostArray(table.value), [1, 3, 1])
      let expected = ReferenceOps.matmul(
        HostArray([3, 5], repeating: Double(pass)), transposeA: true, x1)
      #expect(
        Tolerance.of(.bfloat16).violation(actual: try HostArray(dWeight), expected: expected)
          == nil)
      #expect(try dTable.doubles()[0..<3].allSatisfy { $0 == 0 })
    }
  }

  @Test("a token that comes up a thousand times has a thousand gradients, in bfloat16 too")
  func repeatedToken() throws {
    let table = Parameter(shape: [3, 2])
    table.value = Tensor.ones([3, 2], dtype: .bfloat16)
    let tape = Tape()
    let ids = Tensor([Int32](repeating: 1, count: 1000))
    let x = tape.record(EmbeddingLookup(ids: ids), [tape.leaf(table)])
    tape.backward(from: x, seed: Tensor.ones([1000, 2], dtype: .bfloat16))
    let gradient = try #require(table.gradient)
    #expect(gradient.dtype == .float32)
    #expect(try gradient.doubles() == [0, 0, 1000, 1000, 0, 0])
  }

  @Test("wrong use of a tape traps")
  func misuse() async {
    await #expect(processExitsWith: .failure) {
      let (one, other) = (Tape(), Tape())
      _ = one.input(Tensor.ones([2])) + other.input(Tensor.ones([2]))
    }
    await #expect(processExitsWith: .failure) {
      let (one, other) = (Tape(), Tape())
      one.backward(from: other.input(Tensor.ones([1])))
    }
    await #expect(processExitsWith: .failure) {
      let tape = Tape()
      let y = tape.input(Tensor.ones([1])).scaled(by: 2)
      tape.backward(from: y)
      tape.backward(from: y)
    }
    await #expect(processExitsWith: .failure) {
      let tape = Tape()
      let y = tape.input(Tensor.ones([1])).scaled(by: 2)
      tape.backward(from: y)
      _ = y.scaled(by: 2)
    }
    await #expect(processExitsWith: .failure) {
      let tape = Tape()
      tape.backward(from: tape.input(Tensor.ones([2])))
    }
    await #expect(processExitsWith: .failure) {
      let tape = Tape()
      tape.backward(from: tape.input(Tensor.ones([2])), seed: Tensor.ones([3]))
    }
    await #expect(processExitsWith: .failure) {
      let tape = Tape()
      tape.backward(from: tape.input(Tensor.ones([2])), seed: Tensor.ones([2], dtype: .float64))
    }
  }

  @Test("operands that do not fit trap")
  func operandTraps() async {
    await #expect(processExitsWith: .failure) {
      let tape = Tape()
      _ = tape.input(Tensor.ones([2])) + tape.input(Tensor.ones([3]))
    }
    await #expect(processExitsWith: .failure) {
      let tape = Tape()
      _ = tape.input(Tensor.ones([2])) * tape.input(Tensor.ones([2], dtype: .float64))
    }
    await #expect(processExitsWith: .failure) {
      _ = Parameter(shape: [2]).value
    }
    await #expect(processExitsWith: .failure) {
      Parameter(shape: [2]).value = Tensor.ones([3])
    }
    await #expect(processExitsWith: .failure) {
      let tape = Tape()
      let q = tape.input(Tensor.ones([1, 2, 4]))
      let kv = tape.constant(Tensor.ones([3, 2, 4]))
      let y = Autograd.attention(q, kv, kv, scale: 1, keyOffset: 2)
      tape.backward(from: y, seed: Tensor.ones([1, 2, 4]))
    }
  }
}
