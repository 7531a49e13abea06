// Table look-up and its gradient.

import Glibc

extension CPUBackend: EmbeddingKernels {
  package func gatherRows(
    _ table: Operand, ids: Operand, rows: Int, columns: Int, into y: Destination
  ) {
    precondition(
      table.dtype == y.dtype, "gatherRows: \(table.dtype.rawValue) into \(y.dtype.rawValue)")
    let ids = ids.pointer(Int32.self)
    let tableRows = columns == 0 ? 0 : table.count / columns
    let width = columns * table.dtype.byteWidth
    let (source, target) = (table.pointer(UInt8.self), y.pointer(UInt8.self))
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: columns)) { range in
      for n in range {
        let id = Int(ids[n])
        precondition(id >= 0 && id < tableRows, "gatherRows: row \(id) of \(tableRows)")
        memcpy(target + n * width, source + id * width, width)
      }
    }
  }

  package func scatterAddRows(
    _ x: Operand, ids: Operand, rows: Int, columns: Int, into table: Destination
  ) {
    precondition(
      table.dtype == x.dtype, "scatterAddRows: \(x.dtype.rawValue) into \(table.dtype.rawValue)")
    dispatch(
      x.dtype, ScatterKernel(x: x, ids: ids, rows: rows, columns: columns, table: table),
      "scatterAddRows")
  }
}

/// Threads share columns, not rows: every table row receives its additions in the order of n.
private struct ScatterKernel: FloatKernel {
  let x: Operand
  let ids: Operand
  let rows: Int
  let columns: Int
  let table: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, target) = (x.pointer(T.self), table.pointer(T.self))
    let (ids, rows, columns) = (ids.pointer(Int32.self), rows, columns)
    let tableRows = columns == 0 ? 0 : table.count / columns
    parallelFor(columns, grain: 64) { range in
      for n in 0..<rows {
        let id = Int(ids[n])
        precondition(id >= 0 && id < tableRows, "scatterAddRows: row \(id) of \(tableRows)")
        let (from, to) = (source + n * columns, target + id * columns)
        for c in range { to[c] = T(compute: to[c].compute + from[c].compute) }
      }
    }
  }
}
