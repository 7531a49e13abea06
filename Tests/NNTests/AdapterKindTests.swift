// Kinds of adapters on one small map: DoRA, first values, patterns, layers, and noise on embeddings.

import Autograd
import NN
import Tensor
import TensorTestSupport
import Testing

/// A decoder's skeleton: model.layers.L.mlp.{up_proj, down_proj} and a head.
private final class Skeleton: Module {
  let layers: [Block]
  let lmHead = Linear(inputSize: 6, outputSize: 11, hasBias: false)
  init() {
    layers = (0..<3).map { _ in Block() }
    for (index, (_, parameter)) in namedParameters().enumerated() {
      parameter.value = Tensor.normal(
        parameter.shape, stream: RandomStream(seed: 3, purpose: .test, index: index))
    }
  }
  var children: KeyValuePairs<String, any ModuleNode> {
    ["model": Inner(layers), "lm_head": lmHead]
  }
}

private final class Inner: Module {
  let layers: [Block]
  init(_ layers: [Block]) { self.layers = layers }
  var children: KeyValuePairs<String, any ModuleNode> { ["layers": ModuleList(layers)] }
}

private final class Block: Module {
  let upProj = Linear(inputSize: 6, outputSize: 9, hasBias: true)
  let downProj = Linear(inputSize: 9, outputSize: 6, hasBias: false)
  var children: KeyValuePairs<String, any ModuleNode> {
    ["up_proj": upProj, "down_proj": downProj]
  }
}

@Suite("Kinds of adapters")
struct AdapterKindTests {
  private let x = Tensor.normal([5, 6], stream: RandomStream(seed: 4, purpose: .test))

  private func output(_ linear: Linear, _ tape: Tape = Tape(mode: .inference)) throws -> [Double] {
    try linear(tape.constant(x)).value.doubles()
  }

  private func close(_ a: [Double], _ b: [Double], _ tolerance: Double = 2e-5) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance }
  }

  private func config(_ change: (inout LoRAConfig) throws -> Void) rethrows -> LoRAConfig {
    var config = LoRAConfig(
      rank: 2, alpha: 6, dropout: 0, targets: .names(["up_proj", "down_proj"]))
    try change(&config)
    return config
  }

  @Test("ranks and alphas go by pattern, adapters by layer")
  func patterns() throws {
    let model = Skeleton()
    let touched = try model.injectLoRA(
      config {
        $0.rankPattern.append(try ModulePattern("layers\\.2\\..*"), 5)
        $0.alphaPattern.append(try ModulePattern("up_proj"), 10)
        $0.layersToTransform = [0, 2]
      })
    #expect(
      touched == [
        "model.layers.0.up_proj", "model.layers.0.down_proj", "model.layers.2.up_proj",
        "model.layers.2.down_proj",
      ])
    let adapters = model.namedAdapters().map(\.adapter)
    #expect(adapters.map(\.rank) == [2, 2, 5, 5])
    #expect(adapters.map(\.scale) == [5, 3, 2, 6 / 5])
  }

  @Test("a pattern, a layer or a setting that names nothing is an error")
  func mistakes() throws {
    for change: (inout LoRAConfig) throws -> Void in [
      { $0.rankPattern.append(try ModulePattern("q_proj"), 2) },
      { $0.alphaPattern.append(try ModulePattern("layers\\.3\\..*"), 2) },
      { $0.layersToTransform = [0, 3] }, { $0.layersToTransform = [] },
      { $0.layersToTransform = [-1] },
      { $0.rankPattern.append(try ModulePattern("up_proj"), 0) },
      { $0.alphaPattern.append(try ModulePattern("up_proj"), .infinity) },
    ] {
      let settings = try config(change)
      #expect(throws: LoRAError.self) { try Skeleton().injectLoRA(settings) }
    }
  }

  @Test("a fresh DoRA adapter changes nothing; a trained one scales the rows of W + s·B·A")
  func weightDecomposed() throws {
    let model = Skeleton()
    let linear = model.layers[1].upProj
    let base = try output(linear)
    try model.injectLoRA(config { $0.useDoRA = true })
    try model.initializeAdapters(seed: 5)
    #expect(close(try output(linear), base))
    let adapter = try #require(linear.adapter)
    let magnitude = try #require(adapter.magnitude)
    adapter.loraB.value = Tensor.normal([9, 2], stream: RandomStream(seed: 6, purpose: .test))
    magnitude.value = Tensor.uniform(
      [9], low: 0.5, high: 2, stream: RandomStream(seed: 7, purpose: .test))
    let (w, a, b) = (
      try HostArray(linear.weight.value), try HostArray(adapter.loraA.value),
      try HostArray(adapter.loraB.value)
    )
    let norms = ReferenceOps.adaptedRowNorms(w, a: a, b: b, scale: adapter.scale)
    let bias = try #require(linear.bias)
    let expected = ReferenceOps.weightDecomposedLinear(
      try HostArray(x), w, a: a, b: b, magnitude: try HostArray(magnitude.value), norms: norms,
      bias: try HostArray(bias.value), scale: adapter.scale)
    #expect(close(try output(linear), expected.elements))
    // The norms follow every change of A, B and W.
    adapter.loraA.value = adapter.loraA.value.scaled(by: -2)
    linear.weight.value = linear.weight.value.scaled(by: 3)
    let changed = ReferenceOps.weightDecomposedLinear(
      try HostArray(x), try HostArray(linear.weight.value), a: try HostArray(adapter.loraA.value),
      b: b, magnitude: try HostArray(magnitude.value),
      norms: ReferenceOps.adaptedRowNorms(
        try HostArray(linear.weight.value), a: try HostArray(adapter.loraA.value), b: b,
        scale: adapter.scale), bias: try HostArray(bias.value), scale: adapter.scale)
    #expect(close(try output(linear), changed.elements, 1e-4))
    model.setAdaptersEnabled(false)
    linear.weight.value = linear.weight.value.scaled(by: 1 / 3)
    #expect(close(try output(linear), base))
  }

  @Test(
    "DoRA over a weight in 4 bits is DoRA over what it stands for, for more rows than are unpacked at a time"
  )
  func weightDecomposedQuantized() throws {
    let stream = RandomStream(seed: 9, purpose: .test)
    let quantized = QuantizedTensor(quantizing: Tensor.normal([1100, 64], stream: stream))
    let x = Tensor.normal([3, 64], stream: RandomStream(seed: 10, purpose: .test))
    var results: [[Double]] = []
    for isQuantized in [true, false] {
      let linear = Linear(inputSize: 64, outputSize: 1100, hasBias: false)
      if isQuantized {
        linear.quantize(to: quantized)
      } else {
        linear.weight.value = quantized.dequantized()
      }
      let model = ModuleList([linear])
      try model.injectLoRA(
        config {
          $0.useDoRA = true; $0.targets = .names(["0"])
        })
      try model.initializeAdapters(seed: 5)
      let adapter = try #require(linear.adapter)
      adapter.loraB.value = Tensor.normal(
        [1100, 2], standardDeviation: 0.1, stream: RandomStream(seed: 6, purpose: .test))
      results.append(try linear(Tape(mode: .inference).constant(x)).value.doubles())
    }
    #expect(results[0].count == 3300 && close(results[0], results[1], 1e-4))
  }

  @Test("DoRA's dropout reaches the base weight too, as PEFT's does")
  func weightDecomposedDropout() throws {
    let model = Skeleton()
    let linear = model.layers[0].upProj
    try model.injectLoRA(
      config {
        $0.useDoRA = true
        $0.dropout = 0.4
      })
    try model.initializeAdapters(seed: 5)
    let adapter = try #require(linear.adapter)
    let magnitude = try #require(adapter.magnitude)
    adapter.loraB.value = Tensor.normal([9, 2], stream: RandomStream(seed: 6, purpose: .test))
    let randomness = Randomness(seed: 8, pass: 2)
    let (w, a, b) = (
      try HostArray(linear.weight.value), try HostArray(adapter.loraA.value),
      try HostArray(adapter.loraB.value)
    )
    let bias = try #require(linear.bias)
    let expected = ReferenceOps.weightDecomposedLinear(
      try HostArray(x), w, a: a, b: b, magnitude: try HostArray(magnitude.value),
      norms: ReferenceOps.adaptedRowNorms(w, a: a, b: b, scale: adapter.scale),
      bias: try HostArray(bias.value), scale: adapter.scale,
      mask: ReferenceOps.dropoutMask(
        x.shape, probability: 0.4,
        RandomStream(seed: 8, purpose: .dropout, index: 0, offset: 2)))
    #expect(close(try output(linear, Tape(randomness: randomness)), expected.elements))
    #expect(!close(try output(linear), expected.elements))
  }

  @Test("gaussian A has standard deviation 1/R, B is zero")
  func gaussian() throws {
    let model = Skeleton()
    try model.injectLoRA(config { $0.rank = 64 })
    let weights = try model.layers[0].upProj.weight.value.doubles()
    try model.initializeAdapters(.gaussian, seed: 5)
    let adapter = try #require(model.layers[0].upProj.adapter)
    let a = try adapter.loraA.value.doubles()
    let deviation = (a.reduce(0) { $0 + $1 * $1 } / Double(a.count)).squareRoot()
    #expect(abs(deviation * 64 - 1) < 0.15)
    #expect(try adapter.loraB.value.doubles().allSatisfy { $0 == 0 })
    #expect(try model.layers[0].upProj.weight.value.doubles() == weights)
  }

  @Test(
    "PiSSA and OLoRA leave the output as it was and take their product out of the weight",
    arguments: [
      LoRAInitialization.pissa(iterations: nil), .pissa(iterations: 16), .olora,
    ], [false, true])
  func factored(_ initialization: LoRAInitialization, useDoRA: Bool) throws {
    let model = Skeleton()
    let linear = model.layers[1].upProj
    let (base, w) = (try output(linear), linear.weight.value)
    try model.injectLoRA(config { $0.useDoRA = useDoRA })
    try model.initializeAdapters(initialization, seed: 5)
    #expect(close(try output(linear), base))
    let adapter = try #require(linear.adapter)
    let product = Tensor.matmul(adapter.loraB.value, adapter.loraA.value, alpha: adapter.scale)
    #expect(close(try (linear.weight.value + product).doubles(), try w.doubles()))
    if case .pissa = initialization {
      // The product is the best approximation of its rank: what remains is orthogonal to it on both sides.
      for transpose in [false, true] {
        let inner =
          transpose
          ? Tensor.matmul(linear.weight.value, product, transposeB: true)
          : Tensor.matmul(linear.weight.value, transposeA: true, product)
        #expect(try inner.doubles().allSatisfy { abs($0) < 1e-3 })
      }
    }
    // What is written is the difference to the untouched base.
    adapter.loraB.value = Tensor.normal([9, 2], stream: RandomStream(seed: 6, purpose: .test))
    let tensors = Dictionary(
      uniqueKeysWithValues: adapter.convertedTensors.map { ($0.name, $0.tensor) })
    let (a, b) = (
      try #require(tensors["lora_A.weight"]), try #require(tensors["lora_B.weight"])
    )
    #expect(a.shape == [4, 6] && b.shape == [9, 4])
    let adapted =
      linear.weight.value
      + Tensor.matmul(adapter.loraB.value, adapter.loraA.value, alpha: adapter.scale)
    #expect(
      close(
        try (w + Tensor.matmul(b, a, alpha: adapter.scale)).doubles(), try adapted.doubles()))
    let back = adapter.parts(of: adapter.loraB, from: b)
    #expect(try back.value.doubles() == adapter.loraB.value.doubles())
    #expect(try back.initial?.doubles() == adapter.initialFactors?.b.doubles())
  }

  @Test("a factored base takes up the first values of another run")
  func replacedFactors() throws {
    let (model, other) = (Skeleton(), Skeleton())
    for (network, initialization) in [
      (model, LoRAInitialization.pissa(iterations: nil)), (other, .olora),
    ] {
      try network.injectLoRA(config { _ in })
      try network.initializeAdapters(initialization, seed: 1)
    }
    let kept = try model.layers[0].upProj.weight.value.doubles()
    let paths = model.namedAdapters().map(\.path)
    let own = Dictionary(
      uniqueKeysWithValues: try zip(paths, model.namedAdapters()).map {
        ($0, try #require($1.adapter.initialFactors))
      })
    try model.replaceInitialFactors(own)
    #expect(try model.layers[0].upProj.weight.value.doubles() == kept)
    let factors = Dictionary(
      uniqueKeysWithValues: try zip(paths, other.namedAdapters()).map {
        ($0, try #require($1.adapter.initialFactors))
      })
    try model.replaceInitialFactors(factors)
    for (mine, theirs) in zip(model.namedLinears(), other.namedLinears()) {
      #expect(
        close(try mine.linear.weight.value.doubles(), try theirs.linear.weight.value.doubles()))
    }
  }

  @Test("a weight that is too small or not a number cannot be factored")
  func factorizationFailures() throws {
    for initialization in [
      LoRAInitialization.pissa(iterations: nil), .pissa(iterations: 2), .olora,
    ] {
      let small = Skeleton()
      try small.injectLoRA(config { $0.rank = 7 })
      #expect(throws: LoRAError.self) { try small.initializeAdapters(initialization, seed: 1) }
      let broken = Skeleton()
      try broken.injectLoRA(config { _ in })
      broken.layers[0].upProj.weight.value = Tensor.full([9, 6], .nan)
      #expect(throws: LoRAError.self) { try broken.initializeAdapters(initialization, seed: 1) }
      let negative = Skeleton()
      try negative.injectLoRA(config { $0.alpha = -1 })
      #expect(throws: LoRAError.self) { try negative.initializeAdapters(initialization, seed: 1) }
    }
  }

  @Test("names of initialisations are PEFT's, both ways")
  func names() {
    for name in ["true", "gaussian", "pissa", "pissa_niter_16", "olora"] {
      #expect(LoRAInitialization(name: name)?.name == name)
    }
    for name in ["", "false", "pissa_niter_", "pissa_niter_-1", "pissa_niter_1001", "loftq", "eva"]
    {
      #expect(LoRAInitialization(name: name) == nil)
    }
  }

  @Test(
    "noise on embeddings is uniform up to α/√(length·size), in training only, the same for the same pass"
  )
  func noise() throws {
    let table = Embedding(count: 7, size: 10)
    table.weight.value = Tensor.normal([7, 10], stream: RandomStream(seed: 1, purpose: .test))
    let ids = Tensor((0..<400).map { Int32($0 % 7) })
    func lookUp(_ tape: Tape) throws -> [Double] {
      try table(ids, on: tape, length: 40).value.doubles()
    }
    let plain = try lookUp(Tape(mode: .inference))
    func difference(_ tape: Tape) throws -> [Double] {
      zip(try lookUp(tape), plain).map { $0 - $1 }
    }
    #expect(try difference(Tape(randomness: Randomness(seed: 1, pass: 0))).allSatisfy { $0 == 0 })
    table.noiseAlpha = 5
    #expect(try difference(Tape(mode: .inference)).allSatisfy { $0 == 0 })
    let noise = try difference(Tape(randomness: Randomness(seed: 1, pass: 0)))
    let bound = 5 / Double(40 * 10).squareRoot()
    #expect(noise.allSatisfy { abs($0) <= bound * (1 + 1e-5) })
    let mean = noise.reduce(0, +) / Double(noise.count)
    let variance = noise.reduce(0) { $0 + $1 * $1 } / Double(noise.count)
    #expect(abs(mean) < 0.02 * bound)
    #expect(abs(variance / (bound * bound / 3) - 1) < 0.05)
    #expect(try difference(Tape(randomness: Randomness(seed: 1, pass: 0))) == noise)
    #expect(try difference(Tape(randomness: Randomness(seed: 1, pass: 1))) != noise)
    #expect(try difference(Tape(randomness: Randomness(seed: 2, pass: 0))) != noise)
  }
}
