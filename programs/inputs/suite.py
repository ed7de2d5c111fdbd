# Modules of CPython's own test suite, and the result of each of their tests: without times, in one order.
import io, sys, unittest, warnings

warnings.simplefilter("ignore")


class Results(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.all = []

    def addSuccess(self, test):
        self.all.append((test.id(), "ok"))

    def addError(self, test, err):
        self.all.append((test.id(), f"error {err[0].__name__}"))

    def addFailure(self, test, err):
        self.all.append((test.id(), "failed"))

    def addSkip(self, test, reason):
        self.all.append((test.id(), "skipped"))


for name in sys.argv[1:]:
    results = Results()
    said, sys.stdout = sys.stdout, io.StringIO()
    try:
        unittest.defaultTestLoader.loadTestsFromName("test." + name).run(results)
    finally:
        sys.stdout = said
    print(name, results.testsRun, "tests")
    for test, result in sorted(results.all):
        print(test, result)
