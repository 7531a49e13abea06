// The pool, copy on write, and borrowed bytes.

import Tensor
import TensorTestSupport
import Testing

@Suite("Memory")
struct MemoryTests {
  @Test("size classes hold their requests, waste at most an eighth and are their own class")
  func sizeClasses() {
    for request in Array(0...4200) + (12...40).flatMap({ [1 << $0 - 1, 1 << $0, 1 << $0 + 1] }) {
      let size = BufferPool.sizeClass(request)
      #expect(size >= max(request, 64) && size % 64 == 0)
      #expect(BufferPool.sizeClass(size) == size && size <= BufferPool.sizeClass(request + 1))
      #expect(Double(size) <= max(64, Double(request) * 1.125 + 64))
    }
  }

  @Test("the pool reuses a buffer of the class, counts misses, live and peak bytes")
  func pool() {
    let pool = BufferPool()
    let first = pool.allocate(byteCount: 1000)
    #expect(first.address % 64 == 0 && first.byteCount == 1024)
    let second = pool.allocate(byteCount: 1000)
    #expect(pool.statistics.liveByteCount == 2048 && pool.statistics.peakByteCount == 2048)
    #expect(pool.statistics.reservedByteCount == 2048 && pool.statistics.missCount == 2)
    pool.release(first)
    let third = pool.allocate(byteCount: 961)
    #expect(third.address == first.address && pool.statistics.missCount == 2)
    let small = pool.allocate(byteCount: 1)
    #expect(small.byteCount == 64 && pool.statistics.missCount == 3)
    for buffer in [second, third, small] { pool.release(buffer) }
    #expect(pool.statistics.liveByteCount == 0 && pool.statistics.peakByteCount == 2112)
    pool.resetPeak()
    #expect(pool.statistics.peakByteCount == 0 && pool.statistics.reservedByteCount == 2112)
    pool.trim()
    #expect(pool.statistics.reservedByteCount == 0 && pool.statistics.missCount == 3)
    pool.release(pool.allocate(byteCount: 64))
    #expect(pool.statistics.missCount == 4)
    pool.trim()
  }

  @Test("what waits is bounded when every request is of another size")
  func bound() {
    let pool = BufferPool()
    let block = 48 << 20
    for i in 0..<200 {
      // Two buffers are live at a time, of at most 2·block bytes together; no size comes twice in a row.
      let sizes = [block - i * 229_376, block - (i * 7919 % 200) * 196_608]
      let buffers = sizes.map { pool.allocate(byteCount: $0) }
      #expect(zip(buffers, sizes).allSatisfy { $0.byteCount >= $1 && $0.byteCount <= 3 * $1 })
      for buffer in buffers { pool.release(buffer) }
    }
    let statistics = pool.statistics
    #expect(statistics.liveByteCount == 0)
    #expect(statistics.reservedByteCount <= 3 * 52 << 20 + 64 << 20)
    #expect(statistics.missCount < 100)
    pool.trim()
    #expect(pool.statistics.reservedByteCount == 0)
  }

  @Test("a tensor gives its bytes back when the last copy goes")
  func release() async {
    // In a process of its own: other tests use the same pool at the same time.
    await #expect(processExitsWith: .success) {
      let device = Device.cpu
      let before = device.memory.liveByteCount
      do {
        let x = Tensor.zeros([1024])
        let y = x.reshaped([2, 512]).rows(1..<2)
        precondition(device.memory.liveByteCount == before + 4096)
        withExtendedLifetime((x, y)) {}
      }
      precondition(device.memory.liveByteCount == before)
      device.resetPeakMemory()
      precondition(device.memory.peakByteCount == before)
    }
  }

  @Test("mutating one of two copies leaves the other alone")
  func copyOnWrite() throws {
    let row = Tensor([10, 20, 30] as [Float])
    let mutations: [(String, (inout Tensor) -> Void)] = [
      ("scale", { $0.scale(by: 2) }),
      ("accumulate", { $0.accumulate(Tensor.ones([2, 3])) }),
      ("addRow", { $0.addRow(row) }),
      ("replaceRows", { $0.replaceRows(from: 1, with: Tensor.zeros([1, 3])) }),
      (
        "accumulateScattered",
        { $0.accumulateScattered(Tensor.ones([1, 3]), ids: Tensor([Int32(1)])) }
      ),
      ("accumulateMatmul", { $0.accumulateMatmul(Tensor.ones([2, 1]), Tensor.ones([1, 3])) }),
      (
        "accumulate itself",
        { x in
          let copy = x
          x.accumulate(copy)
        }
      ),
    ]
    for (name, mutate) in mutations {
      let original = Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])
      var changed = original
      let window = original.rows(1..<2)
      mutate(&changed)
      #expect(try original.array(of: Float.self) == [1, 2, 3, 4, 5, 6], "\(name)")
      #expect(try window.array(of: Float.self) == [4, 5, 6], "\(name)")
      #expect(try changed.array(of: Float.self) != [1, 2, 3, 4, 5, 6], "\(name)")
    }
  }

  @Test("a tensor that alone holds its storage changes in place")
  func inPlace() throws {
    var x = Tensor.ones([17])
    let address = x.operand.address
    x.scale(by: 3)
    x.accumulate(Tensor.ones([17]))
    #expect(x.operand.address == address)
    #expect(try x.array(of: Float.self) == [Float](repeating: 4, count: 17))
    let shared = x
    x.scale(by: 2)
    #expect(x.operand.address != address && shared.operand.address == address)
  }

  @Test("a window that is changed takes only its own rows along")
  func windows() throws {
    let x = Tensor((0..<12).map { Float($0) }, shape: [4, 3])
    var window = x.rows(1..<3)
    window.scale(by: 10)
    #expect(try window.array(of: Float.self) == [30, 40, 50, 60, 70, 80])
    #expect(try x.array(of: Float.self) == (0..<12).map { Float($0) })
  }

  @Test("moments shared between optimizer states are copied before they change")
  func sharedMoments() throws {
    let zeros = Tensor.zeros([3])
    var (parameter, first, second) = (Tensor.ones([3]), Moment(zeros), Moment(zeros))
    let step = AdamWStep(
      learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, step: 1)
    parameter.applyAdamW(
      gradient: Tensor.ones([3]), firstMoment: &first, secondMoment: &second, step: step)
    #expect(try zeros.array(of: Float.self) == [0, 0, 0])
    #expect(try first.values.array(of: Float.self).allSatisfy { ($0 - 0.1).magnitude < 1e-6 })
    #expect(try second.values.array(of: Float.self).allSatisfy { ($0 - 0.01).magnitude < 1e-7 })
  }

  @Test(
    "parameters that share their first value step by themselves; two steps of one at a time trap")
  func sharedParameters() async throws {
    let step = AdamWStep(
      learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, step: 1)
    let ones = Tensor.ones([3])
    var parameters = [ones, ones]
    var steps = AdamWSteps()
    for index in 0..<2 {
      var (first, second) = (Moment(Tensor.zeros([3])), Moment(Tensor.zeros([3])))
      steps.add(
        &parameters[index],
        gradient: index == 0 ? Tensor.ones([3]) : Tensor.ones([3]).scaled(by: -1),
        firstMoment: &first, secondMoment: &second, step: step)
    }
    steps.run()
    #expect(try ones.array(of: Float.self) == [1, 1, 1])
    for (parameter, expected) in zip(parameters, [Float(0.9), 1.1]) {
      #expect(
        try parameter.array(of: Float.self).allSatisfy { ($0 - expected).magnitude < 1e-6 })
    }
    await #expect(processExitsWith: .failure) {
      let step = AdamWStep(
        learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, step: 1)
      var (parameter, first) = (Tensor.ones([3]), Moment(Tensor.zeros([3])))
      var second = Moment(Tensor.zeros([3]))
      var steps = AdamWSteps()
      for _ in 0..<2 {
        steps.add(
          &parameter, gradient: Tensor.ones([3]), firstMoment: &first, secondMoment: &second,
          step: step)
      }
      steps.run()
    }
  }

  /// Keeps host bytes alive, as a mapped file does.
  private final class Bytes: Sendable {
    let address: UInt
    init(_ values: [Float]) {
      let pointer = UnsafeMutablePointer<Float>.allocate(capacity: values.count)
      pointer.initialize(from: values, count: values.count)
      address = UInt(bitPattern: pointer)
    }
    deinit { UnsafeMutablePointer<Float>(bitPattern: address)?.deallocate() }
  }

  @Test("borrowed bytes are read in place and never written")
  func borrowed() throws {
    let bytes = Bytes([1, 2, 3, 4])
    let buffer = Buffer(address: bytes.address, byteCount: 16)
    func borrow() -> Tensor {
      Tensor(
        storage: Storage(borrowing: buffer, owner: bytes, backend: Device.cpu.backend),
        shape: [2, 2], dtype: .float32)
    }
    var x = borrow()
    #expect(x.operand.address == bytes.address)
    x.scale(by: 2)
    #expect(x.operand.address != bytes.address)
    #expect(try x.array(of: Float.self) == [2, 4, 6, 8])
    var y = borrow()
    y.replaceRows(from: 0, with: Tensor.zeros([1, 2]))
    y.accumulate(borrow())
    #expect(try y.array(of: Float.self) == [1, 2, 6, 8])
    #expect(try borrow().array(of: Float.self) == [1, 2, 3, 4])
  }

  @Test("the owner of borrowed bytes lives as long as a tensor reads them")
  func borrowedLifetime() throws {
    weak var owner: Bytes?
    do {
      let window: Tensor
      do {
        let bytes = Bytes([1, 2, 3, 4])
        owner = bytes
        let storage = Storage(
          borrowing: Buffer(address: bytes.address, byteCount: 16), owner: bytes,
          backend: Device.cpu.backend)
        window = Tensor(storage: storage, shape: [4], dtype: .float32).rows(2..<4)
      }
      #expect(owner != nil)
      #expect(try window.array(of: Float.self) == [3, 4])
    }
    #expect(owner == nil)
  }

  @Test("an uninitialised result never shares bytes with a live tensor")
  func distinctStorage() throws {
    let tensors = (0..<50).map { Tensor.full([33], Double($0)) }
    for (index, tensor) in tensors.enumerated() {
      #expect(try tensor.doubles() == [Double](repeating: Double(index), count: 33))
    }
  }
}
