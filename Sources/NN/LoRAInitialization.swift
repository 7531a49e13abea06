// The values that adapters start with, as PEFT gives them.

import Autograd
public import Tensor

/// Where the first values of A and B come from (PEFT `init_lora_weights`).
public enum LoRAInitialization: Sendable, Hashable {
  /// A uniform in ±1/√in (Kaiming with a = √5), B zero: training starts at the base model.
  case kaimingUniform
  /// A normal with standard deviation 1/R, B zero.
  case gaussian
  /// The largest R singular values and vectors of the weight, which keeps the rest (Meng et al. 2024). With a number of
  /// iterations they come from a random subspace that is multiplied by the weight as often.
  case pissa(iterations: Int?)
  /// The first R columns and rows of the weight's QR decomposition, the weight keeps the rest (Büyükakyüz 2024).
  case olora

  /// The initialisation of PEFT's name, nil for an unknown one.
  public init?(name: String) {
    switch name {
    case "true", "True": self = .kaimingUniform
    case "gaussian", "Gaussian": self = .gaussian
    case "pissa": self = .pissa(iterations: nil)
    case "olora", "OLoRA": self = .olora
    default:
      let prefix = "pissa_niter_"
      guard name.hasPrefix(prefix), let count = Int(name.dropFirst(prefix.count)),
        (0...1000).contains(count)
      else { return nil }
      self = .pissa(iterations: count)
    }
  }

  /// PEFT's name.
  public var name: String {
    switch self {
    case .kaimingUniform: "true"
    case .gaussian: "gaussian"
    case .pissa(nil): "pissa"
    case .pissa(let iterations?): "pissa_niter_\(iterations)"
    case .olora: "olora"
    }
  }

  /// Whether the adapter's first product is taken out of the base weight.
  public var changesBase: Bool {
    switch self {
    case .kaimingUniform, .gaussian: false
    case .pissa, .olora: true
    }
  }
}

extension Module {
  /// Gives every adapter its first values.
  ///
  /// With PiSSA and OLoRA the base weights change: they lose the adapters' first product, which ``LoRAAdapter/initialFactors``
  /// keeps, so that the model's output is the base's. Throws where a weight cannot be factored.
  public func initializeAdapters(
    _ initialization: LoRAInitialization = .kaimingUniform, seed: UInt64, on device: Device = .cpu
  ) throws(LoRAError) {
    try initializeAdapters(initialization, seed: seed, isRehearsal: false, on: device)
  }

  /// The same; in a rehearsal, where weights have no contents, zeros stand for what would be factored.
  package func initializeAdapters(
    _ initialization: LoRAInitialization, seed: UInt64, isRehearsal: Bool, on device: Device
  ) throws(LoRAError) {
    for (path, linear) in namedLinears() {
      guard let adapter = linear.adapter else { continue }
      try linear.initialize(
        adapter, initialization, seed: seed, isRehearsal: isRehearsal, path, on: device)
      if let magnitude = adapter.magnitude { magnitude.value = linear.adaptedRowNorms(adapter) }
    }
  }

  /// Takes first products out of the base weights other than those that ``initializeAdapters(_:seed:on:)`` took.
  ///
  /// `factors` has A and B by the paths of linear maps. Where they are the same to the bit nothing happens.
  package func replaceInitialFactors(_ factors: [String: (a: Tensor, b: Tensor)])
    throws(DeviceError)
  {
    for (path, linear) in namedLinears() {
      guard let adapter = linear.adapter, let new = factors[path] else { continue }
      if let old = adapter.initialFactors {
        let isSameA = try old.a.bytes() == new.a.bytes()
        let isSameB = try old.b.bytes() == new.b.bytes()
        if isSameA && isSameB { continue }
        linear.addToWeight(old, scale: adapter.scale)
      }
      linear.addToWeight(new, scale: -adapter.scale)
      adapter.initialFactors = new
    }
  }
}

extension LoRAAdapter {
  /// A uniform in ±1/√in, B zero.
  public func initialize(seed: UInt64, on device: Device) {
    let bound = 1 / Double(loraA.shape[1]).squareRoot()
    loraA.value = Tensor.uniform(
      loraA.shape, low: -bound, high: bound, stream: stream(seed), on: device)
    loraB.value = Tensor.zeros(loraB.shape, on: device)
  }

  fileprivate func stream(_ seed: UInt64) -> RandomStream {
    RandomStream(seed: seed, purpose: .initialization, index: index)
  }
}

extension Linear {
  fileprivate func initialize(
    _ adapter: LoRAAdapter, _ initialization: LoRAInitialization, seed: UInt64, isRehearsal: Bool,
    _ path: String, on device: Device
  ) throws(LoRAError) {
    switch initialization {
    case .kaimingUniform: adapter.initialize(seed: seed, on: device)
    case .gaussian:
      adapter.loraA.value = Tensor.normal(
        adapter.loraA.shape, standardDeviation: 1 / Double(adapter.rank),
        stream: adapter.stream(seed), on: device)
      adapter.loraB.value = Tensor.zeros(adapter.loraB.shape, on: device)
    case .pissa, .olora:
      unpackExactly()
      guard packedWeight == nil else {
        throw .invalid(
          setting: "init_lora_weights", value: initialization.name,
          expected: "true or gaussian, as the weights are quantized and cannot be changed")
      }
      guard adapter.rank <= min(inputSize, outputSize) else {
        throw .factorization(
          module: path,
          problem:
            "rank \(adapter.rank) is more than the smaller side of its weight \(weight.shape), and \(initialization.name) takes the adapter from the weight"
        )
      }
      guard adapter.scale > 0 else {
        throw .invalid(
          setting: "lora_alpha", value: "\(adapter.scale * Double(adapter.rank))",
          expected: "a number above 0, as \(initialization.name) needs it")
      }
      let factors: (a: Tensor, b: Tensor)
      do throws(DeviceError) {
        factors =
          try isRehearsal
          ? (
            Tensor.zeros(adapter.loraA.shape, on: device),
            Tensor.zeros(adapter.loraB.shape, on: device)
          )
          : initialFactors(adapter, initialization, stream: adapter.stream(seed))
      } catch {
        throw .factorization(module: path, problem: error.description)
      }
      (adapter.loraA.value, adapter.loraB.value) = factors
      adapter.initialFactors = factors
      addToWeight(factors, scale: -adapter.scale)
    }
  }

  /// A and B such that s·B·A is the part of the weight that the adapter takes over.
  private func initialFactors(
    _ adapter: LoRAAdapter, _ initialization: LoRAInitialization, stream: RandomStream
  ) throws(DeviceError) -> (a: Tensor, b: Tensor) {
    let (rank, w) = (adapter.rank, weight.value.cast(to: .float32))
    guard case .pissa(let iterations) = initialization else {
      let (q, r) = try w.orthogonalTriangular()
      return (r.rows(0..<rank).copied(), q.leadingColumns(rank))
    }
    let (u, values, vt) =
      if let iterations {
        try w.largestSingularVectors(rank, iterations: iterations, stream: stream)
      } else {
        try w.singularVectors()
      }
    // B·A has √(σ / s) on both sides.
    let roots = values.rows(0..<rank).scaled(by: 1 / adapter.scale).squareRoot()
    let a = vt.rows(0..<rank).transposed().multipliedByRow(roots).transposed()
    return (a, u.leadingColumns(rank).multipliedByRow(roots))
  }

  /// W ← W + scale·B·A, computed in float32 and kept in the type of the weight, or in that of changed ones.
  fileprivate func addToWeight(_ factors: (a: Tensor, b: Tensor), scale: Double) {
    unpackExactly()
    let dtype = changedDType ?? weight.value.dtype
    var changed = weight.value.cast(to: .float32)
    changed.accumulateMatmul(factors.b, factors.a, alpha: scale)
    weight.value = changed.cast(to: dtype)
  }
}
