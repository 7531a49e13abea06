// Maps of one input in one operation give what each gives by itself.

import Autograd
import NN
import Tensor
import Testing

@Suite("Groups of linear maps")
struct LinearGroupTests {
  /// Three maps with and without biases and adapters, and their group.
  private final class Maps: Module {
    let first = Linear(inputSize: 128, outputSize: 70, hasBias: true)
    let second = Linear(inputSize: 128, outputSize: 33, hasBias: false)
    let third = Linear(inputSize: 128, outputSize: 5, hasBias: true)
    let group: LinearGroup

    init(_ dtype: DType) {
      group = LinearGroup(first, second, third)
      for (index, (_, parameter)) in namedParameters().enumerated() {
        parameter.value = Tensor.normal(
          parameter.shape, stream: RandomStream(seed: 8, purpose: .test, index: index)
        ).cast(to: dtype)
      }
    }

    var children: KeyValuePairs<String, any ModuleNode> {
      ["first": first, "second": second, "third": third]
    }

    var all: [Linear] { [first, second, third] }

    /// Adapters of several ranks on the maps of `names`, in float32.
    func adapt(_ names: [String], seed: Int = 9, useDoRA: Bool = false) throws {
      var config = LoRAConfig(rank: 6, alpha: 3, targets: .names(names))
      config.useDoRA = useDoRA
      try injectLoRA(config)
      try initializeAdapters(seed: UInt64(seed), on: .cpu)
      for (index, (_, adapter)) in namedAdapters().enumerated() {
        adapter.loraB.value = Tensor.normal(
          adapter.loraB.shape, stream: RandomStream(seed: 9, purpose: .test, index: seed + index))
      }
    }
  }

  private func input(_ rows: Int, _ dtype: DType) -> Tensor {
    Tensor.normal([rows, 128], stream: RandomStream(seed: 8, purpose: .test, index: 20))
      .cast(to: dtype)
  }

  /// The largest difference between what the group gives and what the maps give, beside numbers of about 11.
  private func difference(_ maps: Maps, _ x: Tensor, on tape: Tape) throws -> Double {
    let grouped = maps.group(tape.constant(x))
    #expect(grouped.count == 3)
    var largest = 0.0
    for (one, linear) in zip(grouped, maps.all) {
      let alone = linear(tape.constant(x)).value
      #expect(one.value.shape == alone.shape && one.value.dtype == alone.dtype)
      for (a, b) in try zip(one.value.doubles(), alone.doubles()) {
        largest = max(largest, (a - b).magnitude)
      }
    }
    return largest
  }

  @Test(
    "outputs are those of the maps, whichever have adapters",
    arguments: [DType.float32, .bfloat16],
    [[], ["first"], ["second", "third"], ["first", "second", "third"]])
  func outputs(_ dtype: DType, _ names: [String]) throws {
    let maps = Maps(dtype)
    if !names.isEmpty { try maps.adapt(names) }
    let tape = Tape(mode: .inference)
    let allowed = dtype == .float32 ? 2e-5 : 0.3
    for rows in [1, 3, 8, 9] {
      #expect(try difference(maps, input(rows, dtype), on: tape) < allowed, "\(rows) rows")
    }
    // With weights in 4 bits.
    for linear in maps.all { linear.quantize(to: QuantizedTensor(quantizing: linear.weight.value)) }
    for rows in [1, 2] {
      #expect(try difference(maps, input(rows, dtype), on: tape) < allowed, "\(rows) rows")
    }
  }

  @Test("changed, exchanged and disabled adapters are noticed")
  func changes() throws {
    let maps = Maps(.float32)
    let (tape, x) = (Tape(mode: .inference), input(1, .float32))
    let base = try maps.group(tape.constant(x))[0].value.doubles()
    try maps.adapt(["first", "second"])
    #expect(try difference(maps, x, on: tape) < 2e-5)
    let adapted = try maps.group(tape.constant(x))[0].value.doubles()
    #expect(adapted != base)
    maps.first.adapter?.loraB.update { $0 = $0.scaled(by: 2) }
    #expect(try difference(maps, x, on: tape) < 2e-5)
    #expect(try maps.group(tape.constant(x))[0].value.doubles() != adapted)
    try maps.adapt(["first", "second"], seed: 30)
    #expect(try difference(maps, x, on: tape) < 2e-5)
    maps.setAdaptersEnabled(false)
    #expect(try maps.group(tape.constant(x))[0].value.doubles() == base)
  }

  @Test("weight-decomposed adapters, and rows that choose among adapters, are left to the maps")
  func others() throws {
    let maps = Maps(.float32)
    try maps.adapt(["first"], useDoRA: true)
    let tape = Tape(mode: .inference)
    #expect(try difference(maps, input(2, .float32), on: tape) == 0)
    let routed = Maps(.float32)
    let base = try routed.group(tape.constant(input(4, .float32)))[1].value.doubles()
    let routes = AdapterRoutes()
    for seed in [9, 30] {
      try routed.adapt(["first", "second"], seed: seed)
      _ = routes.take(from: routed)
    }
    for runs in [
      [], [.init(rows: 0..<4, adapter: 1)],
      [.init(rows: 0..<1, adapter: 1), .init(rows: 2..<4, adapter: 0)],
    ] as [[AdapterRoutes.Run]] {
      routes.runs = runs
      #expect(try difference(routed, input(4, .float32), on: tape) < 2e-5, "\(runs)")
      let output = try routed.group(tape.constant(input(4, .float32)))[1].value.doubles()
      #expect((output == base) == runs.isEmpty)
    }
  }

  @Test("gradients are those of the maps")
  func gradients() throws {
    let maps = Maps(.float32)
    try maps.adapt(["first", "third"])
    func gradients(_ outputs: (Variable) -> [Variable]) throws -> [[Double]] {
      let tape = Tape()
      for output in outputs(tape.constant(input(3, .float32))).prefix(1) {
        tape.backward(from: output, seed: Tensor.ones(like: output.value))
      }
      defer { for (_, adapter) in maps.namedAdapters() { adapter.loraA.clearGradient() } }
      return try maps.namedAdapters().compactMap { try $0.adapter.loraA.gradient?.doubles() }
    }
    let grouped = try gradients { maps.group($0) }
    #expect(!grouped.isEmpty)
    #expect(try grouped == gradients { x in maps.all.map { $0(x) } })
  }
}
