// The local time, for `strftime_now`. The only thing in this module that is not a function of its inputs;
// tests set it.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A point in local time, without zone, as Python's `datetime.now()`.
public struct TemplateClock: Sendable {
  /// Calendar fields; `month` and `day` count from 1, `weekday` from Sunday = 0, `yearday` from 0.
  public var year, month, day, hour, minute, second, microsecond, weekday, yearday: Int

  /// The given date and time, which must be one of the Gregorian calendar.
  public init(
    year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0,
    microsecond: Int = 0
  ) {
    (self.year, self.month, self.day) = (year, month, day)
    (self.hour, self.minute, self.second) = (hour, minute, second)
    self.microsecond = microsecond
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    yearday = before[min(max(month, 1), 12) - 1] + day - 1 + (isLeap && month > 2 ? 1 : 0)
    let y = year - 1
    weekday = (y + y / 4 - y / 100 + y / 400 + yearday + 1) % 7
  }

  /// The local time now.
  public static var now: TemplateClock {
    var moment = timespec()
    clock_gettime(CLOCK_REALTIME, &moment)
    var fields = tm()
    var seconds = moment.tv_sec
    localtime_r(&seconds, &fields)
    return TemplateClock(
      year: Int(fields.tm_year) + 1900, month: Int(fields.tm_mon) + 1, day: Int(fields.tm_mday),
      hour: Int(fields.tm_hour), minute: Int(fields.tm_min), second: Int(fields.tm_sec),
      microsecond: Int(moment.tv_nsec) / 1000)
  }

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
  ]
  private static let days = [
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
  ]

  /// `datetime.strftime(format)` in the C locale; unknown directives stay as they are.
  func format(_ format: String) -> String {
    var result = ""
    var scalars = Array(format.unicodeScalars)[...]
    while let scalar = scalars.popFirst() {
      guard scalar == "%", let directive = scalars.first else {
        result.unicodeScalars.append(scalar)
        continue
      }
      scalars.removeFirst()
      if directive == "-" || directive == "_" || directive == "0" || directive == "^",
        let plain = scalars.first
      {
        scalars.removeFirst()
        var text = field(plain) ?? "%\(directive)\(plain)"
        if directive == "^" {
          text = text.uppercased()
        } else if directive != "0" {
          let digits = text.drop { $0 == "0" || $0 == " " }
          let kept = digits.isEmpty ? text.suffix(1) : digits
          let padding = directive == "_" ? text.count - kept.count : 0
          text = String(repeating: " ", count: padding) + kept
        }
        result += text
      } else {
        result += field(directive) ?? "%\(directive)"
      }
    }
    return result
  }

  private func field(_ directive: Unicode.Scalar) -> String? {
    func padded(_ value: Int, _ width: Int = 2, _ fill: String = "0") -> String {
      let digits = String(value)
      return String(repeating: fill, count: max(0, width - digits.utf8.count)) + digits
    }
    let month = Self.months[min(max(month, 1), 12) - 1]
    let twelve = hour % 12 == 0 ? 12 : hour % 12
    switch directive {
    case "Y": return String(year)
    case "C": return padded(year / 100)
    case "y": return padded(year % 100)
    case "m": return padded(self.month)
    case "B": return month
    case "b", "h": return String(month.prefix(3))
    case "d": return padded(day)
    case "e": return padded(day, 2, " ")
    case "A": return Self.days[weekday]
    case "a": return String(Self.days[weekday].prefix(3))
    case "w": return String(weekday)
    case "u": return String(weekday == 0 ? 7 : weekday)
    case "j": return padded(yearday + 1, 3)
    case "H": return padded(hour)
    case "k": return padded(hour, 2, " ")
    case "I": return padded(twelve)
    case "l": return padded(twelve, 2, " ")
    case "M": return padded(minute)
    case "S": return padded(second)
    case "f": return padded(microsecond, 6)
    case "p": return hour < 12 ? "AM" : "PM"
    case "P": return hour < 12 ? "am" : "pm"
    case "U": return padded((yearday + 7 - weekday) / 7)
    case "W": return padded((yearday + 7 - (weekday + 6) % 7) / 7)
    case "G", "V": return isoWeek(directive, padded)
    case "F": return format("%Y-%m-%d")
    case "T", "X": return format("%H:%M:%S")
    case "D", "x": return format("%m/%d/%y")
    case "R": return format("%H:%M")
    case "r": return format("%I:%M:%S %p")
    case "c": return format("%a %b %e %H:%M:%S %Y")
    case "z", "Z": return ""
    case "n": return "\n"
    case "t": return "\t"
    case "%": return "%"
    default: return nil
    }
  }

  private func isoWeek(_ directive: Unicode.Scalar, _ padded: (Int, Int, String) -> String)
    -> String
  {
    let monday = (weekday + 6) % 7
    var (isoYear, week) = (year, (yearday - monday + 10) / 7)
    func weeks(_ year: Int) -> Int {
      func p(_ y: Int) -> Int { (y + y / 4 - y / 100 + y / 400) % 7 }
      return p(year) == 4 || p(year - 1) == 3 ? 53 : 52
    }
    if week < 1 {
      isoYear -= 1
      week = weeks(isoYear)
    } else if week > weeks(year) {
      isoYear += 1
      week = 1
    }
    return directive == "G" ? String(isoYear) : padded(week, 2, "0")
  }
}
