// SPDX-License-Identifier: Apache-2.0
// A lane is where jobs run one after the other, in the order in which they were given; two lanes run side by
// side. What belongs to a lane is touched by its jobs only and needs no lock. In production a lane is a
// thread (gateway/http/feed_lanes.h), in simulation a place in the engine's queue of virtual time
// (sim/world/feed_node.h): the jobs and their order are the same, see LiveFeed.
#pragma once

#include <functional>

namespace godwit::gateway {

class Lanes {
 public:
  using Job = std::move_only_function<void()>;
  // Asked now and then while the disk is read, on the lane that reads. True: return what there is.
  using GiveUp = std::function<bool()>;
  using Read = std::move_only_function<void(GiveUp)>;

  // The first three may be called on any lane, and return before the job runs. When the program ends, jobs
  // may be dropped.
  virtual void encoder(Job job) = 0;
  // Alone of all lanes it runs several jobs side by side: as many as it is given. They touch the disk.
  virtual void reads(Read read) = 0;
  virtual void server(Job job) = 0;
  // From the server's lane, to run there: at once, or later, so that what is appended meanwhile needs no
  // waking of its own.
  virtual void wake(Job job) = 0;

 protected:
  ~Lanes() = default;
};

}  // namespace godwit::gateway
