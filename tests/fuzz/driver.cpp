// Runs one fuzz target: first its corpus, then mutations of it, drawn from one seed. An input that breaks a
// promise is kept in a file, and given as an argument it runs again.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "fuzz.h"

extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());
// Undefined behaviour ends the run as a broken promise does, with its input kept.
extern "C" const char* __ubsan_default_options();
const char* __ubsan_default_options() {
  return "halt_on_error=1:print_stacktrace=1";
}

namespace {

namespace fs = std::filesystem;

constexpr std::size_t max_input = 64UL * 1024;  // four times the largest message
constexpr std::size_t max_pool = 4'096;         // inputs that said something new; beyond, an old one goes
constexpr unsigned hang_s = 30;  // no input of that size may take so long, even under sanitizers

constexpr const char* usage =
    "usage: %s [--runs N | --seconds N | --minutes N] [--seed N] [FILE...]\n"
    "Runs the corpus, then mutations of it. With files: those only, as they are.\n";

// What is being tried, for whoever has to write it down when the process dies.
std::string current;
const char* target = "fuzz";

void keep_current() {
  std::array<char, 256> name{};
  std::snprintf(name.data(), name.size(), "%s-%zu-%d.input", target, current.size(), ::getpid());
  const int fd = ::open(name.data(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return;
  [[maybe_unused]] const auto written = ::write(fd, current.data(), current.size());
  ::close(fd);
  std::fprintf(stderr, "the input is kept in %s\n", name.data());
}

void on_death(int number) {
  ::signal(number, SIG_DFL);
  if (number == SIGALRM) std::fprintf(stderr, "an input takes more than %u s\n", hang_s);
  keep_current();
  ::raise(number);
}

void run(std::string input) {
  current = std::move(input);
  // A copy of its own size on the heap, so that a sanitizer sees a read past its end.
  const std::vector<std::uint8_t> bytes(current.begin(), current.end());
  ::alarm(hang_s);
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());  // the same seed, the same run
  return paths;
}

// libFuzzer's form: a word in quotes a line, \xNN, \\ and \" inside; # begins a comment.
std::vector<std::string> read_dictionary(const fs::path& path) {
  std::vector<std::string> words;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto begin = line.find('"');
    const auto end = line.rfind('"');
    if (line.starts_with('#') || begin == std::string::npos || end == begin) continue;
    std::string word;
    for (auto i = begin + 1; i < end; ++i) {
      if (line[i] == '\\' && i + 3 < end + 1 && line[i + 1] == 'x') {
        unsigned value = 0;
        std::from_chars(line.data() + i + 2, line.data() + i + 4, value, 16);
        word += static_cast<char>(value);
        i += 3;
      } else {
        if (line[i] == '\\') ++i;
        word += line[i];
      }
    }
    words.push_back(std::move(word));
  }
  return words;
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, std::vector<std::string> words) : random_(seed), words_(std::move(words)) {
    for (const char* word :
         {"0", "-1", "1e308", "18446744073709551616", "9007199254740993", "null", "true", "\"\"", "[]", "{}",
          "\\u0000", "\xff", "\xc3\xa9", "\r\n", "\n", "..", "/", "%2e", ","}) {
      words_.emplace_back(word);
    }
  }

  std::string mutate(const std::vector<std::string>& pool) {
    std::string text = pick(pool);
    for (std::size_t i = 1 + below(5); i > 0; --i) change(text, pool);
    if (text.size() > max_input) text.resize(max_input);
    return text;
  }

 private:
  // Not std::uniform_int_distribution: a seed means the same with every standard library.
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  const std::string& pick(const std::vector<std::string>& from) { return from[below(from.size())]; }

  void change(std::string& text, const std::vector<std::string>& pool) {
    const auto at = below(text.size() + 1);
    const auto length = std::min(text.size() - at, 1 + below(below(2) == 0 ? 8 : 256));
    switch (below(10)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        break;
      case 2:
        text.insert(at, pick(words_));
        break;
      case 3:
        text.replace(at, length, pick(words_));
        break;
      case 4:
        text.erase(at, length);
        break;
      case 5:
        text.insert(below(text.size() + 1), text.substr(at, length));
        break;
      case 6: {  // the head of one, the tail of another
        const auto& other = pick(pool);
        text = text.substr(0, at) + other.substr(below(other.size() + 1));
        break;
      }
      case 7:
        text.resize(at);
        break;
      case 8:
        change_number(text, at);
        break;
      default: {  // many of the same: depth, counts, lengths
        const auto piece = text.substr(at, length);
        for (std::size_t i = below(64); i > 0 && text.size() < max_input; --i) text.insert(at, piece);
      }
    }
  }

  void change_number(std::string& text, std::size_t from) {
    const auto begin = text.find_first_of("0123456789", from);
    if (begin == std::string::npos) return;
    const auto end = std::min(text.find_first_not_of("0123456789", begin), text.size());
    static constexpr std::array<const char*, 10> numbers{
        "0", "1", "255", "256", "65536", "2147483648", "4294967296", "4294967295", "99999999999999999999",
        "-1"};
    text.replace(begin, end - begin, numbers.at(below(numbers.size())));
  }

  std::mt19937_64 random_;
  std::vector<std::string> words_;
};

struct Options {
  std::uint64_t seed = 1;
  std::optional<std::uint64_t> runs;
  std::optional<std::uint64_t> seconds;
  std::vector<fs::path> files;
};

std::optional<Options> read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (!flag.starts_with('-')) {
      options.files.emplace_back(flag);
      continue;
    }
    const std::string_view value = ++i < argc ? argv[i] : "";
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (value.empty() || error != std::errc() || end != value.data() + value.size()) return std::nullopt;
    if (flag == "--seed") {
      options.seed = number;
    } else if (flag == "--runs") {
      options.runs = number;
    } else if (flag == "--seconds") {
      options.seconds = number;
    } else if (flag == "--minutes") {
      options.seconds = 60 * number;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options) {
    std::fprintf(stderr, usage, argv[0]);
    return 2;
  }
  const auto name = fs::path(argv[0]).filename().string();
  target = name.c_str();
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM}) ::signal(number, on_death);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(keep_current);

  if (!options->files.empty()) {
    for (const auto& file : options->files) run(read(file));
    std::printf("%s: %zu files, nothing found\n", target, options->files.size());
    return 0;
  }

  std::vector<std::string> pool;
  for (const auto& file : files_of(FUZZ_CORPUS)) {
    pool.push_back(read(file));
    run(pool.back());
  }
  if (pool.empty()) {
    std::fprintf(stderr, "%s: no corpus in %s\n", target, FUZZ_CORPUS);
    return 2;
  }
  const auto seeds = pool.size();
  (void)kiln::fuzz::was_new();

  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const auto until =
      options->seconds ? begin + std::chrono::seconds(*options->seconds) : Clock::time_point::max();
  const auto most =
      options->runs.value_or(options->seconds ? std::numeric_limits<std::uint64_t>::max() : 10'000);
  Mutator mutator(options->seed, read_dictionary(FUZZ_DICTIONARY));
  std::uint64_t runs = 0;
  for (; runs < most && (!options->seconds || Clock::now() < until); ++runs) {
    auto input = mutator.mutate(pool);
    run(input);
    if (!kiln::fuzz::was_new()) continue;
    if (pool.size() < max_pool) {
      pool.push_back(std::move(input));
    } else {
      pool[seeds + runs % (max_pool - seeds)] = std::move(input);
    }
  }
  ::alarm(0);
  const auto took = std::chrono::duration<double>(Clock::now() - begin).count();
  std::printf(
      "%s: %zu seeds, %llu runs in %.1f s, %zu inputs said something new, nothing found (seed %llu)\n",
      target, seeds, static_cast<unsigned long long>(runs), took, pool.size() - seeds,
      static_cast<unsigned long long>(options->seed));
  return 0;
}
