// A shop with what C++ programs are made of: containers, templates, a namespace without a name, a lambda.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace shop {

struct Item {
    std::string name;
    int price;
};

class Cart {
  public:
    __attribute__((noinline)) void add(int n) {
        items.reserve(n);
        for (int i = 0; i < n; i++) items.push_back(Item{std::string(100, 'x'), i});
    }
    std::vector<Item> items;
};

template <class T> __attribute__((noinline)) std::unique_ptr<T[]> make(size_t n) {
    return std::unique_ptr<T[]>(new T[n]());
}

namespace {
__attribute__((noinline)) std::map<std::string, std::vector<int>> *index() {
    auto map = new std::map<std::string, std::vector<int>>();
    for (int i = 0; i < 50; i++) (*map)[std::string(40, 'a' + i % 26) + std::to_string(i)].assign(100, i);
    return map;
}
} // namespace

} // namespace shop

int main() {
    static shop::Cart cart;
    cart.add(100);
    static auto table = shop::make<long>(5000);
    static auto map = shop::index();
    static void *kept;
    std::thread([]() __attribute__((noinline)) { kept = ::operator new(7777); }).join();
    asm volatile("" : : "r"(&kept), "r"(&table), "r"(&map));
    // No destructors: what is held is held.
    return 0;
}
