// A file that appears under its name only when it answers as it should.

package import Files

/// A GGUF file on its way to its place.
package struct CheckedExport {
  /// How far the file may be from what it was made of.
  package struct Tolerance: Sendable, Hashable {
    /// The greatest mean Kullback–Leibler divergence of a token, in nats.
    package var divergence: Double
    /// The least share of tokens with the same first choice.
    package var agreement: Double

    /// Both limits.
    package init(divergence: Double, agreement: Double) {
      (self.divergence, self.agreement) = (divergence, agreement)
    }
  }

  /// Where the file is to appear.
  package let path: String
  /// Where it is written first, in the same folder.
  private let temporaryPath: String

  /// An export to `path`; a folder there is refused.
  package init(path: String) throws(ExportError) {
    self.path = path
    if FileSystem.kind(of: path) == .folder {
      throw .refused(path: path, problem: "is a folder, expected the name of a file")
    }
    temporaryPath = FileSystem.join(
      FileSystem.parent(of: path), FileSystem.temporaryName(prefix: ".partial-"))
  }

  /// Calls `write` with a temporary path and `check` once the file is whole there, and moves it to its place unless one of
  /// them throws: then nothing is left, and what was at the place before stays.
  package func run<Failure: Error>(
    write: (String) throws(Failure) -> Void, check: (String) throws(Failure) -> Void,
    file: (FileError) -> Failure
  ) throws(Failure) {
    do throws(Failure) {
      try write(temporaryPath)
      try check(temporaryPath)
      do throws(FileError) { try FileSystem.rename(temporaryPath, to: path) } catch let error {
        throw file(error)
      }
    } catch {
      try? FileSystem.remove(temporaryPath)
      throw error
    }
  }

  /// Throws where `comparison` is beyond `tolerance`, or says nothing.
  package func require(_ comparison: ModelComparison, within tolerance: Tolerance)
    throws(ExportError)
  {
    guard comparison.tokenCount > 0 else {
      throw .threshold(path: path, problem: "no row has a trained token to check with")
    }
    // Comparisons that a NaN fails.
    guard comparison.meanDivergence <= tolerance.divergence else {
      throw .threshold(
        path: path,
        problem: "not written: the mean divergence of \(comparison.tokenCount) tokens is "
          + "\(comparison.meanDivergence), above --max_kl \(tolerance.divergence)")
    }
    guard comparison.topAgreement >= tolerance.agreement else {
      let agreement = (comparison.topAgreement * 10_000).rounded() / 10_000
      throw .threshold(
        path: path,
        problem:
          "not written: \(agreement) of \(comparison.tokenCount) tokens have the "
          + "same first choice, below --min_agreement \(tolerance.agreement)")
    }
  }
}
