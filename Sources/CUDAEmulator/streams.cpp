// Streams as queues: what was queued runs when somebody waits for it, in the most lopsided order that the waits allow. So a
// wait that is missing shows. It models what CUDA guarantees and no parallel work.
#include "streams.h"

#include <algorithm>
#include <ctime>
#include <set>

namespace streams {
std::recursive_mutex mutex;

namespace {
std::set<Stream *> all;
uint64_t streamCount = 0, captureCount = 0;

double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return double(time.tv_sec) * 1e3 + double(time.tv_nsec) * 1e-6;
}

/// A queue and how far it has run. One that is not kept loses what has run.
struct Lane {
  Queue *queue;
  bool isKept;
  size_t next = 0;

  bool isAtEnd() const { return next == queue->size(); }
  const Item &head() const { return (*queue)[next]; }
  Item take() {
    if (isKept) return (*queue)[next++];
    Item item = std::move(queue->front());
    queue->pop_front();
    return item;
  }
};

/// Runs lanes until `isDone`: always the first that can go on.
int schedule(std::vector<Lane> &lanes, const std::function<bool()> &isDone) {
  while (!isDone()) {
    auto lane = std::find_if(lanes.begin(), lanes.end(), [](const Lane &l) {
      return !l.isAtEnd() && (l.head().kind != Item::wait || l.head().mark->isDone);
    });
    if (lane == lanes.end()) return 719;  // each waits for what another has not been given
    Item item = lane->take();
    if (item.kind == Item::record) {
      item.mark->isDone = true;
      item.mark->milliseconds = now();
    } else if (item.kind != Item::wait) {
      if (const int status = item.run()) return status;
    }
  }
  return 0;
}

/// Runs the streams that belong together; what has run is gone.
int runStreams(std::vector<Stream *> streams, const std::function<bool()> &isDone) {
  std::sort(streams.begin(), streams.end(),
            [](Stream *a, Stream *b) { return a->risesByAge ? a->age < b->age : a->age > b->age; });
  std::vector<Lane> lanes;
  for (Stream *stream : streams) lanes.push_back({&stream->queue, false});
  const auto &group = streams.front()->group;
  int status = group ? group->status : 0;
  if (!status) status = schedule(lanes, isDone);
  // After a failure nothing runs, and nobody waits for ever.
  for (Lane &lane : lanes) {
    if (!status) break;
    for (const Item &item : *lane.queue)
      if (item.kind == Item::record) item.mark->isDone = true;
    lane.queue->clear();
  }
  if (group) group->status = status;
  return status;
}
std::vector<Stream *> together(Stream *stream) {
  return stream->group ? stream->group->members : std::vector<Stream *>{stream};
}

/// Makes one group of those of two streams.
void link(Stream *a, Stream *b) {
  if (a == b || (a->group && a->group == b->group)) return;
  auto group = std::make_shared<Group>();
  for (Stream *stream : {a, b}) {
    for (Stream *member : together(stream)) group->members.push_back(member);
    if (stream->group && stream->group->status) group->status = stream->group->status;
  }
  for (Stream *member : group->members) member->group = group;
}

void capture(Stream *stream, Item item) {
  auto &members = stream->capture->members;
  const auto lane = size_t(std::find(members.begin(), members.end(), stream) - members.begin());
  stream->capture->graph.queues[lane].push_back(std::move(item));
}
void join(Stream *stream, const std::shared_ptr<Capture> &capture) {
  stream->capture = capture;
  capture->members.push_back(stream);
  capture->graph.queues.emplace_back();
}

/// Whether the first stream waits for the last work of each other one.
bool isJoined(const Graph &graph) {
  std::set<const Mark *> awaited;
  for (const Item &item : graph.queues[0])
    if (item.kind == Item::wait) awaited.insert(item.mark.get());
  return std::all_of(graph.queues.begin() + 1, graph.queues.end(), [&](const Queue &queue) {
    for (auto item = queue.rbegin(); item != queue.rend(); ++item) {
      if (item->kind == Item::record && awaited.count(item->mark.get())) return true;
      if (item->kind != Item::record) return false;
    }
    return true;
  });
}
}  // namespace

Stream::Stream(void *device, bool risesByAge) : device(device), risesByAge(risesByAge), age(++streamCount) {
  all.insert(this);
}

int enqueue(Stream *stream, Item item) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (stream->capture) {
    capture(stream, std::move(item));
    return 0;
  }
  const bool isLate = item.kind == Item::copyIn || item.kind == Item::record || stream->group;
  stream->queue.push_back(std::move(item));
  return isLate ? 0 : finish(stream);
}
int finish(Stream *stream) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  return runStreams(together(stream), [=] { return stream->queue.empty(); });
}
void finishDevice(void *device) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  for (Stream *stream : all)
    if (stream->device == device) finish(stream);
}
int finish(const Event *event) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  const MarkRef mark = event->mark;
  if (!mark) return 0;
  if (mark->capture) {
    if (const auto &capture = mark->stream->capture; capture && capture->number == mark->capture) capture->isBroken = true;
    return capturedEvent;
  }
  return runStreams(together(mark->stream), [=] { return mark->isDone; });
}

int elapsed(const Event *from, const Event *to, float *milliseconds) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (!from->mark || !to->mark) return 400;
  if (!from->mark->isDone || !to->mark->isDone) return notReady;
  *milliseconds = float(to->mark->milliseconds - from->mark->milliseconds);
  return 0;
}

int record(Event *event, Stream *stream) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  event->mark = std::make_shared<Mark>(Mark{stream, stream->capture ? stream->capture->number : 0});
  return enqueue(stream, {Item::record, nullptr, event->mark});
}
int wait(Stream *stream, const Event *event) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  const MarkRef mark = event->mark;
  if (!mark) return 0;
  if (stream->capture && mark->capture != stream->capture->number) {
    stream->capture->isBroken = true;
    return captureIsolation;
  }
  if (!stream->capture && mark->capture) {
    const auto &capture = mark->stream->capture;
    if (!capture || capture->number != mark->capture) return capturedEvent;
    join(stream, capture);
  }
  if (!stream->capture) link(stream, mark->stream);
  return enqueue(stream, {Item::wait, nullptr, mark});
}

int beginCapture(Stream *stream) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (stream->capture) return captureUnsupported;
  auto capture = std::make_shared<Capture>();
  capture->number = ++captureCount;
  join(stream, capture);
  return 0;
}
int endCapture(Stream *stream, std::unique_ptr<Graph> &graph) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  const auto capture = stream->capture;
  if (!capture || capture->members.front() != stream) return 400;
  for (Stream *member : capture->members) member->capture = nullptr;
  if (capture->isBroken) return captureInvalidated;
  if (!isJoined(capture->graph)) return captureUnjoined;
  graph = std::make_unique<Graph>(std::move(capture->graph));
  return 0;
}
bool breaksCapture(Stream *stream) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (!stream || !stream->capture) return false;
  stream->capture->isBroken = true;
  return true;
}
int run(const std::shared_ptr<Graph> &graph, bool risesByAge) {
  std::vector<Lane> lanes;
  for (Queue &queue : graph->queues) {
    lanes.push_back({&queue, true});
    for (const Item &item : queue)
      if (item.mark) item.mark->isDone = false;
  }
  if (!risesByAge) std::reverse(lanes.begin(), lanes.end());
  return schedule(lanes, [&] {
    return std::all_of(lanes.begin(), lanes.end(), [](const Lane &l) { return l.isAtEnd(); });
  });
}
}  // namespace streams
