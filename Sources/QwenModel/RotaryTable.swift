// The angles of rotary position embedding, computed as transformers computes them: frequencies and angles in float32.

import Glibc
import Synchronization
package import Tensor

/// cos and sin of position·frequency for the positions needed so far.
package final class RotaryTable: Sendable {
  private struct State {
    var cos, sin: Tensor
    var count: Int
    /// Those that came before, half as long and less: recorded work may still read them.
    var earlier: [(cos: Tensor, sin: Tensor)]
  }
  private let half: Int
  private let frequencies: [Float]
  private let state: Mutex<State?>

  /// Angles for heads of `headDim` with base `theta`.
  package init(headDim: Int, theta: Double) {
    half = headDim / 2
    frequencies = (0..<headDim / 2).map { i in
      1 / Float(pow(theta, Double(Float(2 * i) / Float(headDim))))
    }
    state = Mutex(nil)
  }

  /// cos and sin [≥ positions, D/2] in the accumulation type of `dtype`.
  package func tables(positions: Int, dtype: DType, like device: Tensor) -> (
    cos: Tensor, sin: Tensor
  ) {
    let accumulation = dtype.accumulation
    return state.withLock { state in
      if let state, state.count >= positions, state.cos.dtype == accumulation,
        state.cos.backend === device.backend
      {
        return (state.cos, state.sin)
      }
      var count = 256
      while count < positions { count *= 2 }
      // In pieces: what is large comes from where a lack of memory is said in a line.
      let target = Device(backend: device.backend, preferredComputeDType: .float32)
      var cosines = Tensor(uninitialized: [count, half], .float32, backend: device.backend)
      var sines = Tensor(uninitialized: [count, half], .float32, backend: device.backend)
      for start in stride(from: 0, to: count, by: 256) {
        let piece = piece(positions: start..<start + 256, on: target)
        cosines.replaceRows(from: start, with: piece.cos)
        sines.replaceRows(from: start, with: piece.sin)
      }
      let isSamePlace = state?.cos.backend === device.backend
      let earlier = isSamePlace ? state.map { $0.earlier + [($0.cos, $0.sin)] } ?? [] : []
      let made = State(
        cos: cosines.cast(to: accumulation), sin: sines.cast(to: accumulation), count: count,
        earlier: earlier)
      state = made
      return (made.cos, made.sin)
    }
  }

  /// cos and sin of some positions, float32 [positions, D/2].
  private func piece(positions: Range<Int>, on device: Device) -> (cos: Tensor, sin: Tensor) {
    var (cosines, sines) = ([Float](), [Float]())
    for position in positions {
      for frequency in frequencies {
        let angle = Double(Float(position) * frequency)
        cosines.append(Float(Glibc.cos(angle)))
        sines.append(Float(Glibc.sin(angle)))
      }
    }
    let shape: Shape = [positions.count, half]
    return (Tensor(cosines, shape: shape, on: device), Tensor(sines, shape: shape, on: device))
  }
}
