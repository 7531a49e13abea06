#!/usr/bin/env python3
"""Drives the chat page in headless Chromium and takes screenshots.

  python page.py URL FOLDER     (a server with a base model and an adapter; pip install selenium, apt install chromium-driver)
"""

import sys
import time

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait


def browser(dark):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ["--headless=new", "--no-sandbox", "--window-size=1200,800", "--disable-gpu"]:
        options.add_argument(argument)
    if dark:
        options.add_argument("--blink-settings=preferredColorScheme=0")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def main():
    url, folder = sys.argv[1:3]
    for dark in [False, True]:
        page = browser(dark)
        wait = WebDriverWait(page, 60)
        page.get(url)
        wait.until(lambda p: len(p.find_elements(By.CSS_SELECTOR, "section:first-of-type option")) >= 2)
        box = page.find_element(By.ID, "question")
        page.find_element(By.CSS_SELECTOR, "summary").click()
        page.find_element(By.ID, "temperature").send_keys("0")
        for question in ["What is your name?", "<img src=x onerror=alert(1)> <b>bold</b>"]:
            box.send_keys(question)
            box.send_keys(Keys.ENTER)
            wait.until(lambda p: p.find_element(By.ID, "send").is_enabled())
        turns = [[t.text for t in s.find_elements(By.CSS_SELECTOR, ".turn")]
                 for s in page.find_elements(By.CSS_SELECTOR, "section")]
        print(turns)
        assert all(len(t) >= 4 and t[2].startswith("<img") for t in turns), turns
        assert turns[0][1] != turns[1][1], "base and adapter answer alike"
        assert not page.find_elements(By.CSS_SELECTOR, ".log img, .log b"), "an answer became markup"
        page.save_screenshot(f"{folder}/page-{'dark' if dark else 'light'}.png")
        # Stop: a long answer ends early.
        limit = page.find_element(By.ID, "max_tokens")
        limit.send_keys("900")
        page.find_element(By.ID, "temperature").clear()
        page.find_element(By.ID, "temperature").send_keys("5")
        for _ in range(10):  # an answer may be short by chance
            box.send_keys("Count for a long time.")
            page.execute_script(
                "document.querySelector('form').requestSubmit();"
                "setTimeout(() => document.getElementById('stop').click(), 100)")
            time.sleep(0.5)
            wait.until(lambda p: p.find_element(By.ID, "send").is_enabled())
            if "(stopped)" in page.find_element(By.TAG_NAME, "main").text:
                break
        assert "(stopped)" in page.find_element(By.TAG_NAME, "main").text, "the stop button stops"
        page.find_element(By.ID, "reset").click()
        assert not page.find_elements(By.CSS_SELECTOR, ".turn")
        page.set_window_size(420, 800)
        page.save_screenshot(f"{folder}/page-narrow-{'dark' if dark else 'light'}.png")
        faults = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
        assert not faults, faults
        page.quit()
    print("ok")


if __name__ == "__main__":
    main()
