// A virtual MQTT broker and the connections to it: clean sessions, retained messages, last wills, QoS 1
// duplicates, half-open connections, keep-alive.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "payloads/messages.h"
#include "plan.h"
#include "world.h"

namespace kiln::sim {

// What a message is about. `node` is the number of an identity; 0 where the topic names none.
enum class Leaf : std::uint8_t {
  controller_status,
  node_status,
  node_info,
  node_tasks,
  node_ack,
  command,
  command_all
};
struct Topic {
  Leaf leaf = Leaf::controller_status;
  int node = 0;
  friend auto operator<=>(const Topic&, const Topic&) = default;
};
using Body = std::variant<payloads::ControllerStatus, payloads::NodeStatus, payloads::NodeInfo,
                          payloads::NodeTasks, payloads::Ack, payloads::Command>;
struct Message {
  Topic topic;
  std::shared_ptr<const Body> body;
  bool retain = false;
};

// A way to somewhere that can be cut. What is under way then waits, as TCP has it.
struct Link {
  bool is_cut = false;
  std::uint64_t cuts = 0;
  std::vector<std::function<void()>> waiting;  // until it is whole again
};

class Broker;

// A client that connects again and again, as runtime::MqttClient does.
class Client {
 public:
  struct Handlers {
    std::function<std::optional<Message>()> before_connect;  // its last will
    std::function<void()> on_connect;
    std::function<void(const Message&, bool retained)> on_message;
    std::function<void()> on_lost;
  };
  // `number`: the client id; node identities count from 0, the controller is -1.
  Client(World& world, Broker& broker, int number, Handlers handlers);

  void start();
  void publish(Topic topic, Body body, bool retain);
  // Leaves in good order; on_lost is not called.
  void stop();
  // Leaves in good order, and comes back at once.
  void reconnect();
  // The process is gone: its sockets are closed, or, when the power went, they are not.
  void die(bool are_sockets_closed);
  [[nodiscard]] bool is_connected() const;

  Link link;
  void cut();
  void heal();

 private:
  friend class Broker;
  void try_connect();
  void lost();
  void retry();

  World& world_;
  Broker& broker_;
  const int number_;
  const Handlers handlers_;
  bool is_running_ = false;
  std::uint64_t life_ = 0;  // of start() to stop() or die(): calls of an earlier one are void
  std::int64_t delay_ms_ = 0;
  std::int64_t up_since_ms_ = 0;
  std::shared_ptr<struct Connection> connection_;
};

struct Connection {
  Client* client = nullptr;
  int number = 0;
  std::uint64_t broker_life = 0;
  bool here = true;      // the client's end is open
  bool there = false;    // the broker's end is
  bool greeted = false;  // the client knows that it is connected
  std::optional<Message> will;
  std::int64_t up_last_ms = 0;  // arrival of the newest message, each way
  std::int64_t down_last_ms = 0;
};

class Broker {
 public:
  Broker(World& world, const NetPlan& net) : world_(world), net_(net) {}

  void kill(bool keeps_retained);
  void start();
  [[nodiscard]] bool is_up() const { return is_up_; }
  // The state that the retained status of the node tells; nullptr: none.
  [[nodiscard]] const payloads::NodeStatus* retained_status(int node) const;
  // A foreign tool retains a copy of the next command.
  void retain_next_command() { retains_command_ = true; }
  void clear_retained_commands();
  // When faults end, so does the network's fancy.
  void calm();

  static constexpr int controller = -1;
  // A session ended, with or without its last will, which has been published when this is called.
  std::function<void(int client, bool with_will)> on_session_ended;

 private:
  friend class Client;
  [[nodiscard]] std::int64_t latency_ms();
  void take_in(const std::shared_ptr<Connection>& connection);
  void send_up(const std::shared_ptr<Connection>& connection, Message message);
  void arrive(const std::shared_ptr<Connection>& connection, const Message& message);
  void send_down(const std::shared_ptr<Connection>& connection, const Message& message, bool retained);
  void end_session(const std::shared_ptr<Connection>& connection, bool with_will);
  void route(Message message);
  // Calls when the way is free.
  static void through(Link& link, std::function<void()> call);

  World& world_;
  NetPlan net_;
  bool is_up_ = true;
  std::uint64_t life_ = 1;
  bool retains_command_ = false;
  std::map<int, std::shared_ptr<Connection>> sessions_;  // by client
  std::map<Topic, Message> retained_;
};

}  // namespace kiln::sim
