// How long the threads of kernels wait spinning before they sleep.

import Glibc

/// libgomp's threads spin for milliseconds at the end of every parallel region. On processors that other programs use
/// too, a thread that spins keeps away the one it waits for: training a small model took three times as long.
enum ThreadWaiting {
  /// Rounds of spinning; more gains nothing on an idle machine either.
  private static let rounds = "1000"

  /// Sets a short wait; true where it takes effect with the next start of the program, since libgomp reads the setting before
  /// anything of the program runs. A choice the user made (`GOMP_SPINCOUNT`, `OMP_WAIT_POLICY`) is left alone.
  static func shorten() -> Bool {
    getenv("GOMP_SPINCOUNT") == nil && getenv("OMP_WAIT_POLICY") == nil
      && setenv("GOMP_SPINCOUNT", rounds, 1) == 0
  }
}
