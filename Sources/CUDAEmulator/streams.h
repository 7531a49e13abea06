// What streams were given, and the order in which it runs.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace streams {
struct Stream;

/// A point of a stream, done once all before it is.
struct Mark {
  Stream *stream;
  /// The capture that it lies in, 0 for none.
  uint64_t capture = 0;
  bool isDone = false;
  double milliseconds = 0;
};
using MarkRef = std::shared_ptr<Mark>;

/// One thing that a stream was given.
struct Item {
  enum Kind { work, copyIn, record, wait } kind;
  std::function<int()> run;
  MarkRef mark;
};
using Queue = std::deque<Item>;

/// What was captured, by stream; the first is that whose capture was begun.
struct Graph {
  std::vector<Queue> queues;
};

struct Capture {
  uint64_t number;
  std::vector<Stream *> members;
  Graph graph;
  /// Whether it was given what cannot be in a graph.
  bool isBroken = false;
};

/// Streams of which one has waited for another: nothing of theirs runs before somebody waits for it.
struct Group {
  std::vector<Stream *> members;
  int status = 0;
};

struct Stream {
  /// A stream of a device.
  explicit Stream(void *device, bool risesByAge);
  void *const device;
  /// Whether, of the streams that could go on, it is always the oldest that does; else the youngest.
  const bool risesByAge;
  const uint64_t age;
  Queue queue;
  std::shared_ptr<Group> group;
  std::shared_ptr<Capture> capture;
};

struct Event {
  MarkRef mark;
};

/// Held by what reads or changes the above, and while a kernel runs. The functions below take it.
extern std::recursive_mutex mutex;

/// Gives work to a stream: the status of the work where it runs at once, else 0. A stream by itself runs its work at once, but
/// copies from the host and records as late as it may.
int enqueue(Stream *stream, Item item);
/// Runs a stream to its end, all others as far as the order of the device has it.
int finish(Stream *stream);
/// Runs all streams of a device to their ends; a failure is found by whoever waits for one of them.
void finishDevice(void *device);
/// Runs until the last mark of an event is done; one that was captured cannot be waited for.
int finish(const Event *event);
/// Milliseconds from one event to another; `notReady` unless both are done.
int elapsed(const Event *from, const Event *to, float *milliseconds);

/// Marks where a stream is.
int record(Event *event, Stream *stream);
/// Lets a stream wait for an event; one that was captured draws the stream into the capture.
int wait(Stream *stream, const Event *event);

/// Begins to capture what a stream is given.
int beginCapture(Stream *stream);
/// Ends it; the graph is null where something in it was against the rules. The other streams must have been waited for by the
/// first one itself.
int endCapture(Stream *stream, std::unique_ptr<Graph> &graph);
/// For calls that wait, copy from or to the host, or take memory: a capture breaks on them.
bool breaksCapture(Stream *stream);
/// Runs a graph to its end.
int run(const std::shared_ptr<Graph> &graph, bool risesByAge);

constexpr int captureUnsupported = 900, captureInvalidated = 901, captureUnjoined = 904, captureIsolation = 905,
              capturedEvent = 907, notReady = 600;
}  // namespace streams
