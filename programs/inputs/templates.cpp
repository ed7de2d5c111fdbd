// Compiled as a program is, and then run: containers, texts, regular expressions, threads, exceptions.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

// Made before main, and destroyed after it.
static std::map<std::string, std::vector<int>> early = {{"one", {1}}, {"two", {1, 2}}, {"three", {1, 2, 3}}};
static thread_local std::vector<std::string> mine = {"a text that is too long to be kept inside of the string itself"};

template <int N> struct Deep { using type = std::tuple<typename Deep<N - 1>::type, std::vector<std::pair<int, char[N]>>>; };
template <> struct Deep<0> { using type = int; };
template <class... T> std::string show(const std::variant<T...>& v) {
    std::ostringstream out;
    std::visit([&](const auto& x) { out << x; }, v);
    return out.str();
}

struct alignas(128) Wide { double x[16]; };

int main(int argc, char** argv) {
    int n = argc > 1 ? std::stoi(argv[1]) : 1;
    Deep<60>::type deep{};
    std::cout << sizeof deep << '\n';
    for (int turn = 0; turn < n; turn++) {
        std::unordered_map<std::string, std::unique_ptr<std::list<int>>> table;
        for (int i = 0; i < 20000; i++) {
            auto& list = table[std::to_string(i * 7919 % 4001) + " as a key that is long"];
            if (!list) list = std::make_unique<std::list<int>>();
            list->push_back(i);
        }
        std::set<std::string> keys;
        for (auto& [key, list] : table) keys.insert(key + show(std::variant<int, std::string>(int(list->size()))));
        std::cout << keys.size() << ' ' << *keys.begin() << '\n';
        std::regex word("([a-z]+) ([a-z]+)");
        std::string text;
        for (int i = 0; i < 200; i++) text += "some words and others ";
        std::cout << std::regex_replace(text, word, "$2 $1").substr(0, 60) << '\n';
        std::vector<std::future<size_t>> futures;
        for (int t = 0; t < 4; t++)
            futures.push_back(std::async(std::launch::async, [t] {
                std::vector<std::string> all;
                for (int i = 0; i < 5000; i++) all.push_back(std::string(i % 400, char('a' + t)));
                mine.push_back("of a thread");
                return std::accumulate(all.begin(), all.end(), mine.size(), [](size_t n, auto& s) { return n + s.size(); });
            }));
        for (auto& future : futures) std::cout << future.get() << '\n';
        std::vector<std::unique_ptr<Wide>> wide;
        for (int i = 0; i < 1000; i++) wide.push_back(std::make_unique<Wide>());
        std::cout << std::all_of(wide.begin(), wide.end(), [](auto& w) { return uintptr_t(w.get()) % 128 == 0; }) << '\n';
    }
    // Sizes that there cannot be. valgrind cannot throw, and ends the process there.
    if (std::getenv("UNDER_VALGRIND")) return 0;
    volatile size_t impossible = SIZE_MAX / 2 - 100;
    int thrown = 0;
    try { delete[] new char[impossible]; } catch (const std::bad_alloc&) { thrown++; }
    try { std::vector<char> v; v.reserve(impossible); } catch (const std::bad_alloc&) { thrown++; }
    try { ::operator delete(::operator new(impossible, std::align_val_t(4096)), std::align_val_t(4096)); } catch (const std::bad_alloc&) { thrown++; }
    std::cout << thrown << ' ' << (new (std::nothrow) char[impossible] == nullptr) << ' ' << early.size() << '\n';
}
