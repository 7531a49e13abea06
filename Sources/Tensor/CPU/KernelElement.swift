// What a CPU kernel needs to know about an element type: how eight of them become lanes of the type it computes in.

import Glibc

/// The type of kernel arithmetic: Float, or Double for gradient checks.
package protocol KernelCompute: BinaryFloatingPoint, SIMDScalar, Codable, KernelElement
where Compute == Self {
  /// eˣ in every lane, accurate to 2 units in the last place.
  static func exponential(_ x: SIMD8<Self>) -> SIMD8<Self>
  static func exponential(_ x: Self) -> Self
  static func logarithm(_ x: Self) -> Self
  /// √x in every lane.
  static func squareRoot(_ x: SIMD8<Self>) -> SIMD8<Self>
  // Comparisons of lanes belong here, not into generic kernels: only on a named type are they not a loop.
  /// The larger one in every lane, a where b is NaN.
  static func larger(_ a: SIMD8<Self>, _ b: SIMD8<Self>) -> SIMD8<Self>
  /// `value` in the lanes whose bits are not below `threshold`, 0 in the others. Both are below 2³¹.
  static func select(_ value: Self, where bits: SIMD8<UInt32>, atLeast threshold: UInt32)
    -> SIMD8<Self>
}

/// An element type of float tensors.
package protocol KernelElement: RowKernels where Compute: KernelCompute {
  static func load(_ pointer: UnsafePointer<Self>) -> SIMD8<Compute>
  static func store(_ value: SIMD8<Compute>, _ pointer: UnsafeMutablePointer<Self>)
  init(compute: Compute)
  var compute: Compute { get }
}

extension KernelElement {
  /// The first `count` (below 8) elements, the other lanes 0.
  @inline(__always)
  static func load(_ pointer: UnsafePointer<Self>, count: Int) -> SIMD8<Compute> {
    var lanes = SIMD8<Compute>.zero
    for i in 0..<count { lanes[i] = pointer[i].compute }
    return lanes
  }

  /// Stores the first `count` (below 8) lanes.
  @inline(__always)
  static func store(_ value: SIMD8<Compute>, _ pointer: UnsafeMutablePointer<Self>, count: Int) {
    for i in 0..<count { pointer[i] = Self(compute: value[i]) }
  }
}

extension Float: KernelCompute {
  package typealias Compute = Float
  @inline(__always)
  package static func load(_ pointer: UnsafePointer<Float>) -> SIMD8<Float> {
    UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self)
  }
  @inline(__always)
  package static func store(_ value: SIMD8<Float>, _ pointer: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: value, as: SIMD8<Float>.self)
  }
  @inline(__always) package init(compute: Float) { self = compute }
  @inline(__always) package var compute: Float { self }

  /// Cody & Waite reduction by ln 2 and a polynomial of degree 6. The exponent is found by adding 1.5·2²³:
  /// rounding functions and converting initialisers would become one scalar call a lane.
  @inline(__always)
  package static func exponential(_ x: SIMD8<Float>) -> SIMD8<Float> {
    typealias Lanes = SIMD8<Float>
    let magic = Lanes(repeating: 12_582_912)
    // Comparisons and selects: `clamped` is a loop over the lanes.
    var bounded = x
    bounded.replace(with: -104, where: x .< -104)
    bounded.replace(with: 89, where: x .> 89)
    let shifted = bounded * Lanes(repeating: 1.442_695_04) + magic
    let n = shifted - magic
    let r = bounded - n * Lanes(repeating: 0.693_359_375) + n * Lanes(repeating: 2.121_944_4e-4)
    var p = Lanes(repeating: 1.987_569_1e-4)
    p = p * r + Lanes(repeating: 1.398_199_9e-3)
    p = p * r + Lanes(repeating: 8.333_452e-3)
    p = p * r + Lanes(repeating: 4.166_579_6e-2)
    p = p * r + Lanes(repeating: 0.166_666_65)
    p = p * r + Lanes(repeating: 0.5)
    p = p * r * r + r + Lanes(repeating: 1)
    // 2ⁿ in two factors, so that results near overflow and below the normal range are right too.
    let bits = unsafeBitCast(shifted, to: SIMD8<Int32>.self) &- SIMD8(repeating: 0x4B40_0000)
    let half = bits &>> SIMD8(repeating: 1)
    let first = unsafeBitCast(
      (half &+ SIMD8(repeating: 127)) &<< SIMD8(repeating: 23), to: Lanes.self)
    let second = unsafeBitCast(
      (bits &- half &+ SIMD8(repeating: 127)) &<< SIMD8(repeating: 23), to: Lanes.self)
    return (p * first * second).replacing(with: x, where: x .!= x)
  }
  @inline(__always) package static func exponential(_ x: Float) -> Float { expf(x) }
  @inline(__always) package static func logarithm(_ x: Float) -> Float { logf(x) }
  @inline(__always)
  package static func squareRoot(_ x: SIMD8<Float>) -> SIMD8<Float> { x.squareRoot() }
  @inline(__always)
  package static func larger(_ a: SIMD8<Float>, _ b: SIMD8<Float>) -> SIMD8<Float> {
    a.replacing(with: b, where: b .> a)
  }
  @inline(__always)
  package static func select(_ value: Float, where bits: SIMD8<UInt32>, atLeast threshold: UInt32)
    -> SIMD8<Float>
  {
    // By the sign of a difference: comparing integer lanes is a loop, and the numbers are below 2³¹.
    let difference =
      SIMD8<Int32>(repeating: Int32(bitPattern: threshold) &- 1)
      &- unsafeBitCast(bits, to: SIMD8<Int32>.self)
    let mask = difference &>> SIMD8(repeating: 31)
    return unsafeBitCast(
      mask & SIMD8(repeating: Int32(bitPattern: value.bitPattern)), to: SIMD8<Float>.self)
  }
}

extension Double: KernelCompute {
  package typealias Compute = Double
  @inline(__always)
  package static func load(_ pointer: UnsafePointer<Double>) -> SIMD8<Double> {
    UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Double>.self)
  }
  @inline(__always)
  package static func store(_ value: SIMD8<Double>, _ pointer: UnsafeMutablePointer<Double>) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: value, as: SIMD8<Double>.self)
  }
  @inline(__always) package init(compute: Double) { self = compute }
  @inline(__always) package var compute: Double { self }
  package static func exponential(_ x: SIMD8<Double>) -> SIMD8<Double> {
    var y = SIMD8<Double>.zero
    for i in 0..<8 { y[i] = exp(x[i]) }
    return y
  }
  @inline(__always) package static func exponential(_ x: Double) -> Double { exp(x) }
  @inline(__always) package static func logarithm(_ x: Double) -> Double { log(x) }
  @inline(__always)
  package static func squareRoot(_ x: SIMD8<Double>) -> SIMD8<Double> { x.squareRoot() }
  @inline(__always)
  package static func larger(_ a: SIMD8<Double>, _ b: SIMD8<Double>) -> SIMD8<Double> {
    a.replacing(with: b, where: b .> a)
  }
  @inline(__always)
  package static func select(_ value: Double, where bits: SIMD8<UInt32>, atLeast threshold: UInt32)
    -> SIMD8<Double>
  {
    var y = SIMD8<Double>.zero
    for lane in 0..<8 where bits[lane] >= threshold { y[lane] = value }
    return y
  }
}

extension BFloat16: KernelElement {
  package typealias Compute = Float
  @inline(__always)
  package static func load(_ pointer: UnsafePointer<BFloat16>) -> SIMD8<Float> {
    let bits = UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<UInt16>.self)
    // The upper halves of lanes of 32 bits. Converting initialisers would become calls.
    var wide = SIMD16<UInt16>.zero
    wide.oddHalf = bits
    return unsafeBitCast(wide, to: SIMD8<Float>.self)
  }
  @inline(__always)
  package static func store(_ value: SIMD8<Float>, _ pointer: UnsafeMutablePointer<BFloat16>) {
    let bits = unsafeBitCast(value, to: SIMD8<UInt32>.self)
    let lowest = (bits &>> SIMD8(repeating: 16)) & SIMD8(repeating: 1)
    var rounded = bits &+ SIMD8(repeating: 0x7fff) &+ lowest
    rounded.replace(with: bits | SIMD8(repeating: 0x40_0000), where: value .!= value)
    UnsafeMutableRawPointer(pointer).storeBytes(
      of: unsafeBitCast(rounded, to: SIMD16<UInt16>.self).oddHalf, as: SIMD8<UInt16>.self)
  }
  @inline(__always) package init(compute: Float) { self.init(compute) }
  @inline(__always) package var compute: Float { float }
}

/// A family of kernels, one for each float element type.
package protocol FloatKernel {
  func run<T: KernelElement>(_ type: T.Type)
}

/// Runs the kernel of an element type; traps on a type that is not a float.
@inline(__always)
package func dispatch(_ dtype: DType, _ kernel: some FloatKernel, _ name: StaticString) {
  switch dtype {
  case .float32: kernel.run(Float.self)
  case .float64: kernel.run(Double.self)
  case .bfloat16: kernel.run(BFloat16.self)
  case .float16, .int32, .uint8:
    preconditionFailure("\(name): no kernel for \(dtype.rawValue)")
  }
}

extension Operand {
  @inline(__always)
  func pointer<T>(_ type: T.Type) -> UnsafePointer<T> {
    guard let pointer = UnsafePointer<T>(bitPattern: address) else {
      preconditionFailure("kernel: null operand")
    }
    return pointer
  }
}

extension Destination {
  @inline(__always)
  func pointer<T>(_ type: T.Type) -> UnsafeMutablePointer<T> {
    guard let pointer = UnsafeMutablePointer<T>(bitPattern: address) else {
      preconditionFailure("kernel: null destination")
    }
    return pointer
  }
}
