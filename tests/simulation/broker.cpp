#include "broker.h"

#include <algorithm>

namespace kiln::sim {

namespace {

// As in runtime/mqtt_client.h.
constexpr std::int64_t keepalive_ms = 15'000;
constexpr std::int64_t broker_patience_ms = keepalive_ms * 3 / 2;
constexpr std::int64_t retry_min_ms = 200;
constexpr std::int64_t retry_max_ms = 10'000;
constexpr std::int64_t is_stable_after_ms = 5'000;
constexpr std::int64_t reach_timeout_ms = 5'000;

}  // namespace

// ---- a client ---------------------------------------------------------------------------------------------

Client::Client(World& world, Broker& broker, int number, Handlers handlers)
    : world_(world), broker_(broker), number_(number), handlers_(std::move(handlers)) {}

bool Client::is_connected() const {
  return connection_ && connection_->here && connection_->greeted;
}

void Client::start() {
  is_running_ = true;
  ++life_;
  delay_ms_ = retry_min_ms;
  up_since_ms_ = 0;
  try_connect();
}

void Client::try_connect() {
  const auto life = life_;
  const auto again = [this, life](std::int64_t after_ms) {
    world_.after(after_ms, [this, life] {
      if (life == life_) retry();
    });
  };
  if (link.is_cut) return again(reach_timeout_ms);
  if (!broker_.is_up()) return again(1);
  auto connection = std::make_shared<Connection>();
  connection->client = this;
  connection->number = number_;
  connection->broker_life = broker_.life_;
  connection->will = handlers_.before_connect();
  connection_ = connection;
  connection->up_last_ms = world_.now_ms() + broker_.latency_ms();
  world_.at(connection->up_last_ms, [this, connection] { broker_.take_in(connection); });
  // A broker that does not answer is given up.
  constexpr std::int64_t connack_timeout_ms = 10'000;
  world_.after(connack_timeout_ms, [this, life, connection] {
    if (life != life_ || connection != connection_ || connection->greeted || !connection->here) return;
    connection->here = false;
    retry();
  });
}

void Client::retry() {
  if (handlers_.on_lost) handlers_.on_lost();
  if (up_since_ms_ != 0 && world_.now_ms() - up_since_ms_ >= is_stable_after_ms) delay_ms_ = retry_min_ms;
  up_since_ms_ = 0;
  const auto wait_ms = world_.random.between(delay_ms_ / 2, delay_ms_);
  delay_ms_ = std::min(2 * delay_ms_, retry_max_ms);
  world_.after(wait_ms, [this, life = life_] {
    if (life == life_) try_connect();
  });
}

void Client::lost() {
  const auto connection = connection_;
  connection->here = false;
  world_.after(broker_.latency_ms(), [this, connection] {
    Broker::through(link, [this, connection] { broker_.end_session(connection, true); });
  });
  retry();
}

void Client::publish(Topic topic, Body body, bool retain) {
  if (!is_connected()) return;
  broker_.send_up(connection_, {topic, std::make_shared<const Body>(std::move(body)), retain});
}

void Client::stop() {
  is_running_ = false;
  ++life_;
  if (!connection_ || !connection_->here) return;
  // What was published before the farewell still goes through; nothing comes back.
  const auto connection = std::exchange(connection_, nullptr);
  connection->here = false;
  world_.at(connection->up_last_ms, [this, connection] {
    Broker::through(link, [this, connection] { broker_.end_session(connection, false); });
  });
}

void Client::reconnect() {
  stop();
  is_running_ = true;
  world_.after(1, [this, life = life_] {
    if (life == life_) try_connect();
  });
}

void Client::die(bool are_sockets_closed) {
  is_running_ = false;
  ++life_;
  if (!connection_) return;
  const auto connection = std::exchange(connection_, nullptr);
  connection->here = false;
  if (are_sockets_closed) {
    world_.after(broker_.latency_ms(), [this, connection] {
      Broker::through(link, [this, connection] { broker_.end_session(connection, true); });
    });
  }
  world_.after(broker_patience_ms, [this, connection] { broker_.end_session(connection, true); });
}

void Client::cut() {
  if (link.is_cut) return;
  link.is_cut = true;
  const auto cut = ++link.cuts;
  // Each end finds out by itself, by the silence.
  world_.after(
      world_.random.between(keepalive_ms / 2, 2 * keepalive_ms), [this, cut, connection = connection_] {
        const bool is_still = link.is_cut && link.cuts == cut && connection && connection == connection_;
        if (is_still && connection->here && is_running_) lost();
      });
  world_.after(world_.random.between(keepalive_ms, broker_patience_ms),
               [this, cut, connection = connection_] {
                 if (!link.is_cut || link.cuts != cut || !connection || !connection->there) return;
                 broker_.end_session(connection, true);
                 link.waiting.emplace_back([this, connection] {
                   if (connection->here && connection_ == connection) lost();
                 });
               });
}

void Client::heal() {
  if (!link.is_cut) return;
  link.is_cut = false;
  const auto waiting = std::move(link.waiting);
  link.waiting.clear();
  for (const auto& call : waiting) call();
}

// ---- the broker -------------------------------------------------------------------------------------------

std::int64_t Broker::latency_ms() {
  if (world_.random.chance(net_.slow)) return world_.random.between(0, net_.slow_ms);
  return world_.random.between(0, net_.latency_ms);
}

void Broker::calm() {
  net_.slow = net_.duplicated = net_.late = 0;
}

void Broker::through(Link& link, std::function<void()> call) {
  if (link.is_cut) {
    link.waiting.push_back(std::move(call));
  } else {
    call();
  }
}

void Broker::kill(bool keeps_retained) {
  is_up_ = false;
  ++life_;
  if (!keeps_retained) retained_.clear();
  world_.note(keeps_retained ? "the broker is killed" : "the broker is killed and forgets what it retained");
  for (auto& [number, session] : std::exchange(sessions_, {})) {
    session->there = false;
    world_.after(latency_ms(), [session] {
      through(session->client->link, [session] {
        auto& client = *session->client;
        if (session->here && client.connection_ == session) client.lost();
      });
    });
  }
}

void Broker::start() {
  if (is_up_) return;
  is_up_ = true;
  world_.note("the broker is up");
}

const payloads::NodeStatus* Broker::retained_status(int node) const {
  const auto found = retained_.find({Leaf::node_status, node});
  return found == retained_.end() ? nullptr : std::get_if<payloads::NodeStatus>(found->second.body.get());
}

void Broker::clear_retained_commands() {
  std::erase_if(retained_, [](const auto& one) { return one.first.leaf == Leaf::command; });
}

void Broker::take_in(const std::shared_ptr<Connection>& connection) {
  through(connection->client->link, [this, connection] {
    if (!connection->here) return;
    if (!is_up_ || connection->broker_life != life_) {
      connection->here = false;
      if (connection->client->connection_ == connection) connection->client->retry();
      return;
    }
    // The same client id again throws the older connection out.
    if (const auto old = sessions_.find(connection->number); old != sessions_.end()) {
      const auto session = old->second;
      end_session(session, true);
      world_.after(latency_ms(), [session] {
        through(session->client->link, [session] {
          if (session->here && session->client->connection_ == session) session->client->lost();
        });
      });
    }
    connection->there = true;
    sessions_[connection->number] = connection;
    connection->down_last_ms = world_.now_ms() + latency_ms();
    world_.at(connection->down_last_ms, [this, connection] {
      through(connection->client->link, [this, connection] {
        if (!connection->here) return;
        connection->greeted = true;
        connection->client->up_since_ms_ = world_.now_ms();
        connection->client->handlers_.on_connect();
      });
    });
    for (const auto& [topic, message] : retained_) {
      const bool is_of_nodes =
          topic.leaf == Leaf::node_status || topic.leaf == Leaf::node_info || topic.leaf == Leaf::node_tasks;
      const bool is_wanted = connection->number == controller
                                 ? net_.wildcard_retained && is_of_nodes
                                 : topic.leaf == Leaf::controller_status ||
                                       ((topic.leaf == Leaf::command || topic.leaf == Leaf::node_status) &&
                                        topic.node == connection->number);
      if (is_wanted) send_down(connection, message, true);
    }
  });
}

void Broker::send_up(const std::shared_ptr<Connection>& connection, Message message) {
  connection->up_last_ms = std::max(connection->up_last_ms, world_.now_ms() + latency_ms());
  world_.at(connection->up_last_ms, [this, connection, message] {
    through(connection->client->link, [this, connection, message] { arrive(connection, message); });
  });
  if (world_.random.chance(net_.duplicated)) {
    world_.at(connection->up_last_ms + world_.random.between(0, 2'000), [this, connection, message] {
      through(connection->client->link, [this, connection, message] { arrive(connection, message); });
    });
  }
}

void Broker::arrive(const std::shared_ptr<Connection>& connection, const Message& message) {
  if (!is_up_) return;
  const bool is_open = connection->there && connection->broker_life == life_;
  // One of a cluster's brokers may still take what an older connection had sent to another.
  if (!is_open && !world_.random.chance(net_.late)) return;
  route(message);
}

void Broker::route(Message message) {
  if (message.topic.leaf == Leaf::command && retains_command_) {
    retains_command_ = false;
    retained_[message.topic] = message;
    world_.note("a foreign tool retains a command", message.topic.node);
  }
  if (message.retain) retained_[message.topic] = message;
  if (const auto* status = std::get_if<payloads::NodeStatus>(message.body.get())) {
    world_.note(status->state == payloads::NodeState::offline ? "status: offline" : "status: here",
                message.topic.node, {}, 0, status->sid);
  }
  const auto send = [&](int number) {
    if (const auto session = sessions_.find(number); session != sessions_.end()) {
      send_down(session->second, message, false);
    }
  };
  switch (message.topic.leaf) {
    case Leaf::controller_status:
    case Leaf::command_all:
      for (const auto& [number, session] : sessions_) {
        if (number != controller) send_down(session, message, false);
      }
      break;
    case Leaf::command:
      send(message.topic.node);
      break;
    case Leaf::node_status:
      send(controller);
      send(message.topic.node);
      break;
    case Leaf::node_info:
    case Leaf::node_tasks:
    case Leaf::node_ack:
      send(controller);
      break;
  }
}

void Broker::send_down(const std::shared_ptr<Connection>& connection, const Message& message, bool retained) {
  const auto deliver = [connection, message, retained] {
    through(connection->client->link, [connection, message, retained] {
      if (connection->here && connection->greeted)
        connection->client->handlers_.on_message(message, retained);
    });
  };
  connection->down_last_ms = std::max(connection->down_last_ms, world_.now_ms() + latency_ms());
  world_.at(connection->down_last_ms, deliver);
  if (world_.random.chance(net_.duplicated)) {
    world_.at(connection->down_last_ms + world_.random.between(0, 2'000), deliver);
  }
}

void Broker::end_session(const std::shared_ptr<Connection>& connection, bool with_will) {
  if (!connection->there || connection->broker_life != life_) {
    connection->there = false;
    return;
  }
  connection->there = false;
  if (const auto session = sessions_.find(connection->number);
      session != sessions_.end() && session->second == connection) {
    sessions_.erase(session);
  }
  if (with_will && connection->will) route(*connection->will);
  if (on_session_ended) on_session_ended(connection->number, with_will);
}

}  // namespace kiln::sim
