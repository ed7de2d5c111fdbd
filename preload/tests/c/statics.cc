// C++: statically initialised objects, exceptions, and the operators.
#include "check.h"
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

struct Registry {
    std::map<std::string, std::vector<int>> all;
    Registry() {
        for (int i = 0; i < 1000; i++) all["a name that needs memory: " + std::to_string(i)].assign(i, i);
    }
    ~Registry() { all.clear(); }
};

static Registry registry;
static std::unique_ptr<std::string> text(new std::string(5000, 'x'));
struct alignas(256) Wide {
    char bytes[512];
};
static thread_local std::vector<std::string> per_thread{"one", "two", std::string(100, 'y')};
static volatile size_t hide;

int main() {
    CHECK(registry.all.size() == 1000 && text->size() == 5000);
    size_t impossible[] = {(size_t)PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 4096, (size_t)1 << 62};
    for (size_t n : impossible) {
        bool thrown = false;
        try {
            void *p = ::operator new(n + hide);
            ::operator delete(p);
        } catch (const std::bad_alloc &) {
            thrown = true;
        }
        CHECK(thrown);
        thrown = false;
        try {
            // Older versions of libstdc++ round the largest sizes up, to 0.
            void *p = ::operator new[](n + hide > SIZE_MAX - 64 ? SIZE_MAX - 64 : n + hide, std::align_val_t(64));
            ::operator delete[](p, std::align_val_t(64));
        } catch (const std::bad_alloc &) {
            thrown = true;
        }
        CHECK(thrown);
        CHECK(::operator new(n + hide, std::nothrow) == nullptr);
    }
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++) {
        threads.emplace_back([i] {
            for (int k = 0; k < 1000; k++) {
                std::vector<std::string> mine(k % 50, std::string(i * 10 + 20, 'z'));
                std::unique_ptr<Wide> wide(new Wide);
                CHECK((uintptr_t)wide.get() % 256 == 0);
                CHECK(per_thread.size() == 3);
                try {
                    throw std::string("an exception");
                } catch (const std::string &s) {
                    CHECK(s.size() == 12);
                }
            }
        });
    }
    for (auto &thread : threads) thread.join();
    return done();
}
